/** A test that takes too long for every run; LINBP_SLOW=1 runs it, too. It ends after `milliseconds`. */
export function slowly(slow: boolean, title: string, milliseconds: number, body: () => void | Promise<void>): void {
  it(`${title}${slow ? ' @slow' : ''}`, function () {
    this.timeout(milliseconds);
    if (slow && process.env['LINBP_SLOW'] === undefined) return this.skip();
    return body();
  });
}
