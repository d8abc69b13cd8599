/**
 * Opens reports in a real browser and uses them as readers do: hover, zoom, toggled lines, sorted and filtered tables,
 * dark pages, narrow pages, and names that try to be HTML. Needs a Chromium: CHROMIUM=PATH, or one on the PATH; without
 * one it says so and passes. --shots DIR keeps screenshots.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { findBrowser } from './browser/find.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const hostile = '<img src=x onerror=window.hit=1>';
/** For names of networks in lists, where "=" has a meaning. */
const hostileTag = '<h1>hit<script>';

const browserPath = findBrowser();
if (browserPath === undefined) {
  process.stdout.write('skipped: there is no chromium on the PATH (apt-get install chromium; or CHROMIUM=PATH)\n');
  process.exit(0);
}
if (!existsSync(join(root, 'dist/src/report/page.bundle.js'))) {
  process.stdout.write('the script of the reports is not built; run "npm run build"\n');
  process.exit(1);
}

const shots = process.argv.includes('--shots') ? process.argv[process.argv.indexOf('--shots') + 1] : undefined;
const scratch = mkdtempSync(join(tmpdir(), 'linbp-pages-'));

function linbp(...args) {
  const options = { cwd: scratch, encoding: 'utf8', timeout: 400_000, env: { ...process.env, LINBP_DATA: '' } };
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'bin/linbp.js'), ...args], options);
  assert.equal(status, 0, `linbp ${args.join(' ')}\n${stderr}`);
}

/** Reports of runs whose folders, classes and files have names that try to be HTML. */
async function makePages() {
  const { writePng } = await import(pathToFileURL(join(root, 'dist/src/io/png.js')).href);
  const data = join(scratch, `${hostile} data`);
  for (const [k, name] of [`${hostile} cat`, '"><script>window.hit=1</script>'.replace('/', '∕')].entries())
    for (let n = 0; n < 16; n++) {
      const pixels = Uint8Array.from({ length: 28 * 28 }, (_, i) => (i * (n + 3) + 90 * k) % 256);
      for (const half of ['train', 'test'])
        await writePng(join(data, half, name, `${n}.png`), { channels: 1, height: 28, width: 28, data: pixels });
    }
  const images = ['--model', 'mlp', '--classes', '2', '--dataset', `folder:${data}`];
  const run = join(scratch, `${hostile} run`);
  const [one, sweep, attack] = ['one', 'sweep', 'attack'].map((name) => join(run, name));
  linbp('train', ...images, '--epochs', '3', '--batch', '16', '--out', one);
  const rules = ['--rule', 'bp', '--rule', 'linbp', '--sweep', 'lr=0.001,0.01'];
  linbp('train', ...images, '--epochs', '3', '--batch', '16', ...rules, '--seeds', '2', '--out', sweep);
  linbp('attack', ...images, '--weights', join(one, 'mlp.safetensors'), '--steps', '5', '--out', attack);
  // Runs whose names have no place to break, as long as people make them.
  const stages = ['--gradient', 'ni', '--transform', 'di,si', '--momentum', 'mi'];
  const listed = ['--attack', 'mifgsm,pgd', '--steps', '2', ...stages];
  const long = ['--rule', 'linbp:from=all,match=activation,scope=sample', '--rule', 'bp', '--eps', '4/255,8/255'];
  const list = join(run, 'list');
  linbp(
    'attack',
    ...images,
    '--weights',
    join(one, 'mlp.safetensors'),
    ...listed,
    ...long,
    '--limit',
    '8',
    '--out',
    list,
  );
  const reports = { train: one, sweep, attack, list };
  return Object.fromEntries(Object.entries(reports).map(([name, folder]) => [name, join(folder, 'report.html')]));
}

/**
 * Reports of the other verbs, on the generated digits; of two experiments, one after another in one folder. Folders,
 * networks, and an experiment of an earlier run have names that try to be HTML.
 */
function makeOtherPages() {
  const out = (name) => join(scratch, `${hostile} ${name}`);
  const weights = (name) => join(out(name), `${name}.safetensors`);
  linbp('train', '--model', 'mlp', '--limit', '400', '--epochs', '2', '--out', out('mlp'));
  linbp('train', '--model', 'lenet5', '--limit', '400', '--epochs', '2', '--out', out('lenet5'));
  const network = `${hostileTag}.onnx`;
  linbp('export', '--model', 'lenet5', '--weights', weights('lenet5'), '--out', network);
  linbp('export', '--model', 'mlp', '--weights', weights('mlp'), '--out', `${hostile}.onnx`);
  const networks = [`${network}=${weights('lenet5')}`, `mlp=${weights('mlp')}`].join(',');
  const rules = ['--rule', 'bp', '--rule', 'linbp:from=all'];
  linbp('transfer', '--sources', networks, '--dataset', 'digits', '--limit', '24', ...rules, '--out', out('transfer'));
  const profiled = ['--model', `${hostile}.onnx`, '--batch', '8', '--rule', 'bp,linbp:from=all'];
  linbp('profile', ...profiled, '--html', out('profile.html'));
  linbp('demo', '--minutes', '0.05', '--no-open', '--out', out('demo'));
  const options = ['--dataset', 'digits', '--seeds', '1', '--scale', '0.002', '--out', out('reproduce')];
  linbp('reproduce', 'mnist-mlp', ...options);
  const kept = join(out('reproduce'), 'experiments.json');
  const [entry] = JSON.parse(readFileSync(kept, 'utf8'));
  const statement = { verdict: 'open', text: `${hostile} was found` };
  writeFileSync(kept, JSON.stringify([entry, { ...entry, name: 'theory', summary: hostile, statements: [statement] }]));
  linbp('reproduce', 'mnist-lenet5', ...options);
  return {
    transfer: join(out('transfer'), 'report.html'),
    profile: out('profile.html'),
    demo: join(out('demo'), 'report.html'),
    reproduce: join(out('reproduce'), 'mnist-mlp.html'),
    index: join(out('reproduce'), 'index.html'),
  };
}

/** Runs in the page: what is wrong with the texts of its charts, which may not overlap or be cut. */
function faultsOfCharts() {
  const faults = [];
  for (const svg of document.querySelectorAll('figure .chart svg')) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const texts = [...svg.querySelectorAll('text')]
      .filter((text) => text.textContent.trim() !== '' && Math.abs(text.getScreenCTM().b) < 1e-6)
      .map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }));
    for (const [i, { text, box }] of texts.entries()) {
      if (
        box.left < frame.left - 2 ||
        box.right > frame.right + 2 ||
        box.top < frame.top - 2 ||
        box.bottom > frame.bottom + 2
      )
        faults.push(`"${text}" is cut`);
      for (const other of texts.slice(i + 1)) {
        const wide = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const high = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        // Boxes of letters have a little air above and below.
        if (wide > 1 && high > 4) faults.push(`"${text}" covers "${other.text}"`);
      }
    }
  }
  return faults;
}

/** Runs in the page: words of tables and captions that are broken within, but for long ones, such as names of files. */
function brokenWords() {
  const broken = [];
  for (const place of document.querySelectorAll('th, td, .images span, dt, figcaption, h1, h2, h3, li')) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode())
      for (const { 0: word, index } of node.data.matchAll(/(?<=^|\s|[^\p{L}\p{N}])[\p{L}\p{N}]{2,}/gu)) {
        const token = /\S*$/.exec(node.data.slice(0, index))[0] + /^\S*/.exec(node.data.slice(index))[0];
        if (token.length > 24) continue;
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const lines = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
        if (lines.size > 1) broken.push(word);
      }
  }
  return broken;
}

let done = 0;
const failed = [];
/** Goes on after a failure, so that one run shows them all. */
async function step(name, check) {
  try {
    await check();
    done++;
    process.stdout.write(`ok  ${name}\n`);
  } catch (error) {
    failed.push(name);
    process.stdout.write(`FAILED  ${name}\n${error.stack}\n`);
  }
}

const url = (path) => pathToFileURL(path).href;
const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] });
try {
  const pages = await makePages();
  const others = makeOtherPages();
  /** What the other pages show of names from outside. */
  const names = { transfer: hostileTag, profile: hostile, index: hostile };
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('request', (request) => request.url().startsWith('http') && problems.push(`asks for ${request.url()}`));

  /** Names that a page shows, if any, are there as text; nothing on it ran, failed or was asked for. */
  const staysText = async (shown) => {
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.equal(await page.locator('img[src="x"], h1 script, main h1 h1, main h2 h1').count(), 0);
    assert.equal(await page.locator('h1').count(), 1);
    assert.deepEqual(problems, []);
    if (shown !== undefined) assert.ok((await page.locator('body').innerText()).includes(shown), `shows ${shown}`);
  };

  /** The first table: every title sorts it both ways; what is in the last row is found where there is a filter. */
  const sortAndFilter = async () => {
    const section = page.locator('section:has(th[aria-sort])').first();
    const first = section.locator('table:has(th[aria-sort])').first();
    const column = (k) => first.locator(`tbody tr td:nth-child(${k + 1})`).allInnerTexts();
    const titles = first.locator('th[aria-sort]');
    for (let k = 0; k < (await titles.count()); k++) {
      const rows = (await column(k)).sort();
      await titles.nth(k).click();
      assert.equal(await titles.nth(k).getAttribute('aria-sort'), 'ascending');
      const up = await column(k);
      assert.deepEqual([...up].sort(), rows, 'the same cells');
      const numbers = up.map((text) => (/^[-+]?\d/.test(text) ? Number.parseFloat(text.replace(/,/g, '')) : NaN));
      if (!numbers.some(Number.isNaN))
        assert.deepEqual(
          numbers,
          numbers.toSorted((a, b) => a - b),
        );
      await titles.nth(k).click();
      assert.equal(await titles.nth(k).getAttribute('aria-sort'), 'descending');
    }
    for (const filter of await page.locator('input[type=search]:visible').all()) {
      const near = filter.locator('xpath=../following-sibling::*[1]//tbody');
      const word = (await near.locator('tr:visible').last().locator('td').first().innerText()).trim();
      await filter.fill(word);
      const kept = await near.locator('tr:visible').allInnerTexts();
      assert.ok(kept.length > 0 && kept.every((text) => text.toLowerCase().includes(word.toLowerCase())), word);
      await filter.fill('no row has these words');
      assert.equal(await near.locator('tr:visible').count(), 0);
      await filter.fill('');
    }
  };

  for (const [name, path] of Object.entries(pages)) {
    await page.goto(url(path));
    await step(`${name}: names that try to be HTML stay text, and nothing is asked for`, () => staysText(hostile));
    await step(`${name}: says first what was found`, async () => {
      const first = page.locator('section').first();
      assert.equal(await first.locator('h2').innerText(), 'What was found');
      assert.ok((await first.locator('li').count()) > 0);
    });
  }

  await page.goto(url(pages.sweep));
  const figure = page.locator('figure:has(.legend [data-series])').first();
  await step('sweep: hovering a chart shows values', async () => {
    await figure.scrollIntoViewIfNeeded();
    const box = await figure.locator('.chart svg').boundingBox();
    let text = '';
    for (const share of [0.2, 0.4, 0.6, 0.8]) {
      await page.mouse.move(box.x + share * box.width, box.y + 0.5 * box.height, { steps: 4 });
      await page.waitForTimeout(120);
      text += await figure.locator('.chart').evaluate((chart) => chart.innerText);
    }
    assert.match(text, /learning rate [\d.]+[\s\S]*BP [\d.]+/);
    assert.equal(await page.evaluate(() => window.hit), undefined);
  });
  await step('sweep: a click on a name hides its line, another shows it', async () => {
    const paths = () => figure.locator('.chart svg path').count();
    await page.mouse.move(2, 2);
    await page.waitForTimeout(300);
    const before = await paths();
    const key = figure.locator('.legend [data-series]').first();
    await key.click();
    assert.equal(await key.getAttribute('aria-pressed'), 'false');
    await page.waitForTimeout(100);
    assert.ok((await paths()) < before, 'fewer lines are drawn');
    await key.click();
    await page.waitForTimeout(300);
    assert.equal(await paths(), before);
  });
  await step('sweep: ctrl and the wheel zoom into a chart', async () => {
    const chart = figure.locator('.chart svg').first();
    const before = await chart.evaluate((svg) => svg.outerHTML);
    const box = await chart.boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.keyboard.down('Control');
    for (let i = 0; i < 5; i++) await page.mouse.wheel(0, -240);
    await page.keyboard.up('Control');
    await page.waitForTimeout(300);
    assert.notEqual(await chart.evaluate((svg) => svg.outerHTML), before);
  });

  await step('sweep: buttons with names zoom into a chart and out of it', async () => {
    const drawn = figure.locator('.drawn');
    await page.reload();
    await page.mouse.move(2, 2);
    const before = await drawn.innerHTML();
    const button = (name) => figure.getByRole('button', { name, exact: true });
    assert.ok(await button('reset').isDisabled());
    await button('zoom in').click();
    await page.waitForTimeout(200);
    assert.notEqual(await drawn.innerHTML(), before);
    await button('zoom out').click();
    await page.waitForTimeout(200);
    assert.ok(await button('reset').isDisabled());
    await button('zoom in').click();
    await button('zoom in').click();
    await button('reset').click();
    await page.waitForTimeout(200);
    assert.ok(await button('reset').isDisabled());
    const shape = (html) => html.match(/ d="[^"]*"/g).sort();
    assert.deepEqual(shape(await drawn.innerHTML()), shape(before));
  });

  await page.goto(url(pages.attack));
  const table = page.locator('section:has(h2:text-is("Every image"))');
  await step('attack: a click on a title sorts the images, another turns the order', async () => {
    const column = async () =>
      (await table.locator('tbody tr td:last-child').allInnerTexts()).map((text) => Number.parseFloat(text));
    const title = table.locator('th', { hasText: /^L2/ });
    await title.click();
    const up = await column();
    assert.deepEqual(
      up,
      [...up].sort((a, b) => a - b),
    );
    await title.click();
    const down = await column();
    assert.deepEqual(
      down,
      [...up].sort((a, b) => b - a),
    );
    assert.equal(await title.getAttribute('aria-sort'), 'descending');
  });
  await step('attack: the filter keeps rows with its words', async () => {
    await table.locator('input[type=search]').fill('<img cat');
    const rows = table.locator('tbody tr:visible');
    const kept = await rows.allInnerTexts();
    assert.ok(kept.length > 0 && kept.length < 32, `${kept.length} rows`);
    assert.ok(kept.every((text) => text.includes('<img')));
    assert.equal(await page.evaluate(() => window.hit), undefined);
  });
  await step('attack: pairs of images with labels before and after', async () => {
    assert.ok((await page.locator('.sheet figure').count()) >= 16);
    assert.match(await page.locator('.sheet figure').first().innerText(), /→/);
  });

  for (const [name, path] of Object.entries(others)) {
    await page.goto(url(path));
    await step(`${name}: names that try to be HTML stay text, and nothing is asked for`, () => staysText(names[name]));
    if (name !== 'index')
      await step(`${name}: says first what was found`, async () => {
        const first = page.locator('section').first();
        assert.equal(await first.locator('h2').innerText(), 'What was found');
        assert.ok((await first.locator('li').count()) > 0);
      });
    if (name !== 'index')
      await step(`${name}: hovering a chart shows values`, async () => {
        const chart = page.locator('figure .drawn').first();
        await chart.scrollIntoViewIfNeeded();
        const box = await chart.boundingBox();
        const before = await chart.innerText();
        let shown = '';
        for (const [x, y] of [0.3, 0.5, 0.7, 0.9].flatMap((x) => [0.2, 0.5, 0.8].map((y) => [x, y]))) {
          await page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 3 });
          await page.waitForTimeout(120);
          const now = await chart.innerText();
          if (now.length > before.length) shown = now;
        }
        assert.match(shown.slice(0, 4000), /\d/);
        assert.notEqual(shown, before);
      });
    if (name !== 'index')
      await step(`${name}: a click on a title sorts its table, the filter keeps rows with its words`, sortAndFilter);
  }
  await step('index: a second experiment keeps the first', async () => {
    const links = await page.locator('main a[href$=".html"]').evaluateAll((list) => list.map((each) => each.href));
    const files = links.map((link) => link.split('/').at(-1));
    assert.deepEqual(files.sort(), ['mnist-lenet5.html', 'mnist-mlp.html', 'theory.html']);
    for (const link of links.filter((each) => !each.endsWith('theory.html'))) {
      await page.goto(link);
      assert.ok((await page.locator('h1').innerText()).startsWith('mnist-'));
    }
  });

  /** The leaderboard's chart has the width of its card, even ticks, intervals and references; curves fill theirs. */
  const checkDemo = async () => {
    const board = page.locator('section:has(h2:text-is("Leaderboard of backward rules"))');
    const chart = board.locator('.drawn').first();
    await chart.scrollIntoViewIfNeeded();
    const [card, box] = await Promise.all([board.boundingBox(), chart.boundingBox()]);
    assert.ok(box.width > 0.9 * card.width - 30, `${box.width} of ${card.width} pixels`);
    const texts = await chart.locator('text').allTextContents();
    const ticks = texts.filter((text) => /^\d+ %$/.test(text)).map(Number.parseFloat);
    assert.ok(ticks.length >= 3 && ticks[0] === 0, `ticks ${ticks.join(', ')}`);
    for (const [i, tick] of ticks.entries()) assert.equal(tick, i * ticks[1], `even ticks: ${ticks.join(', ')}`);
    assert.ok(texts.some((text) => text.includes('no attack')));
    // a bar has its interval beside its value, a reference has none
    const bars = texts.filter((text) => /^\d+\.\d % \([\d.]+ to [\d.]+\)$/.test(text)).length;
    const references = texts.filter((text) => /^\d+\.\d %$/.test(text)).length;
    assert.ok(bars > 0, texts.join(', '));
    assert.equal(references, await board.locator('.legend [data-series]').count());
    // An interval is a line with two ends.
    assert.equal(await chart.locator('path[stroke-width="1.25"]').count(), 3 * bars);
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 3 });
    await page.waitForTimeout(200);
    assert.match(await chart.innerText(), /\d % \(95 % interval [\d.]+ % to [\d.]+ %\)/);
    const losses = page.locator('section:has(h2:text-is("Training")) .drawn').first();
    const used = await losses.evaluate((each) => {
      const drawn = [...each.querySelectorAll('path[stroke-width="2"], path[fill-opacity="0.16"]')];
      const [frame, ...boxes] = [each, ...drawn].map((path) => path.getBoundingClientRect());
      const top = Math.max(frame.top, Math.min(...boxes.map((box) => box.top)));
      return (Math.min(frame.bottom, Math.max(...boxes.map((box) => box.bottom))) - top) / frame.height;
    });
    // An axis has at least 2 % of room at either end, so curves of nearly equal losses take less of it.
    const values = await losses.locator('text[text-anchor="end"]').allTextContents();
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const least = high / Math.max(low, 1e-9) < 1.1 ? 0.1 : 0.35;
    assert.ok(used > least, `the curves take ${used.toFixed(2)} of their chart, from ${low} to ${high}`);
    await page.mouse.move(2, 2);
  };

  /** What every page has to be in a scheme of colors and at a width. */
  const looked = async (name, path, scheme, width) => {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(url(path));
    await step(`${name}: ${scheme}, ${width} pixels: nothing is wider than the page`, async () => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${wide} pixels`);
      const [ink, back] = await page.evaluate(() => {
        const { color, backgroundColor } = getComputedStyle(document.body);
        return [color, backgroundColor].map((each) => each.match(/\d+/g).slice(0, 3).map(Number));
      });
      const light = (rgb) => rgb.reduce((sum, each) => sum + each, 0) / 3;
      assert.ok(Math.abs(light(ink) - light(back)) > 120, 'text stands out');
      assert.equal(light(back) > 128, scheme === 'light');
    });
    await step(`${name}: ${scheme}, ${width} pixels: what is wider than its box says that it scrolls`, async () => {
      const silent = await page.evaluate(() => {
        const seen = (each) => each.getClientRects().length > 0;
        const wide = (each) => each.scrollWidth > each.clientWidth + 1;
        const said = (each) => {
          const above = each.previousElementSibling;
          const hint = above?.matches('.filter') ? above.previousElementSibling : above;
          return hint?.matches('.hint') && seen(hint);
        };
        const boxes = [...document.querySelectorAll('.wide, pre.code, .chart')].filter(seen).filter(wide);
        return boxes.filter((each) => !each.matches('.wide') || !said(each)).map((each) => each.className);
      });
      assert.deepEqual(silent, []);
      const pictures = page.locator('.wide:has(table.images)');
      for (const each of width < 600 ? await pictures.all() : [])
        assert.ok(await each.evaluate((box) => box.scrollWidth <= box.clientWidth + 1), 'pictures fit');
    });
    await step(
      `${name}: ${scheme}, ${width} pixels: charts' texts are whole and apart, no word is broken`,
      async () => {
        assert.deepEqual(await page.evaluate(faultsOfCharts), []);
        assert.deepEqual(await page.evaluate(brokenWords), []);
      },
    );
    if (scheme === 'light')
      await step(`${name}: ${width} pixels: everything that can be pressed has a name`, async () => {
        const all = 'button, [role=button], input, a[href], summary';
        const nameless = await page
          .locator(all)
          .evaluateAll((list) =>
            list
              .map((each) => each.getAttribute('aria-label') ?? each.textContent)
              .filter((text) => !/\p{L}/u.test(text)),
          );
        assert.deepEqual(nameless, []);
        assert.equal(await page.locator('.drawn svg [style*="cursor:pointer"], .drawn svg title').count(), 0);
      });
    if (name === 'demo' && scheme === 'light') await step(`demo: ${width} pixels: its charts`, checkDemo);
    if (shots !== undefined) {
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
    }
  };
  for (const [name, path] of Object.entries({ ...pages, ...others }))
    for (const scheme of ['light', 'dark']) for (const width of [1280, 390]) await looked(name, path, scheme, width);

  const still = await browser.newContext({ javaScriptEnabled: false });
  const quiet = await still.newPage();
  await quiet.goto(url(pages.sweep));
  await step('without scripts the charts and tables are there', async () => {
    assert.ok((await quiet.locator('figure svg').count()) >= 3);
    assert.ok((await quiet.locator('table tbody tr').count()) >= 4);
  });
  assert.match(readFileSync(pages.train, 'utf8'), /^<!DOCTYPE html>/);
} finally {
  await browser.close();
  rmSync(scratch, { recursive: true, force: true });
}
process.stdout.write(`${done} checks of reports in a browser passed\n`);
if (failed.length > 0) {
  process.stderr.write(`failed: ${failed.join('; ')}\n`);
  process.exitCode = 1;
}
