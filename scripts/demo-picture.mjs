/**
 * Takes the README's picture of the demo: `node scripts/demo-picture.mjs linbp-report/report.html [docs/demo.png]`. It
 * shows the page 1280 pixels wide from its top down to the end of the leaderboard's chart. Needs a Chromium:
 * CHROMIUM=PATH, or one on the PATH. The report should be of a run at full size (256 images), on a machine at rest.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import sharp from 'sharp';
import { findBrowser } from './browser/find.mjs';

const [report, picture = 'docs/demo.png'] = process.argv.slice(2);
const executablePath = findBrowser();
if (report === undefined || executablePath === undefined) {
  process.stderr.write('give a report of the demo, and have a chromium on the PATH (or CHROMIUM=PATH)\n');
  process.exit(1);
}
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  await page.goto(pathToFileURL(resolve(report)).href);
  const chart = await page.locator('.drawn').first().boundingBox();
  const clip = { x: 0, y: 0, width: 1280, height: Math.round(chart.y + chart.height + 6) };
  const shot = await page.screenshot({ clip, fullPage: true });
  writeFileSync(picture, await sharp(shot).png({ palette: true, effort: 10 }).toBuffer());
  process.stdout.write(`wrote ${picture}, ${clip.width} x ${clip.height}\n`);
} finally {
  await browser.close();
}
