/**
 * Node 20 knows neither `Symbol.dispose` nor `Symbol.asyncDispose`, which `using` and `await using` compile to.
 * Importing this module first gives classes a real symbol to define their method under; engines that have the symbols
 * are left alone.
 */
for (const name of ['dispose', 'asyncDispose'] as const) {
  if (typeof Symbol[name] !== 'symbol') {
    // The registered description is what the helpers of TypeScript and other polyfills use too, so that they all meet
    // on one symbol.
    Object.defineProperty(Symbol, name, {
      value: Symbol.for(`Symbol.${name}`),
      configurable: false,
      enumerable: false,
      writable: false,
    });
  }
}

export {};
