export { barChart, lineChart, logRange, percentAxis } from './charts.js';
export type { Figure, Line } from './charts.js';
export type { Estimate } from './intervalChart.js';
export { failureChart } from './failureChart.js';
export { heatMap } from './heatMap.js';
export { amplifiedDifference, dataUri, imageGrid } from './images.js';
export type { GridRow } from './images.js';
export { intervalChart } from './intervalChart.js';
export { machineFacts } from './machine.js';
export {
  codeLines,
  facts,
  figures,
  folded,
  heading,
  htmlTable,
  page,
  pageFooter,
  paragraph,
  verdictList,
} from './page.js';
export type { CaptionedFigure, Section } from './page.js';
export { picture } from './picture.js';
export { memoryChart, rooflineChart, ruleLayerChart, segmentRanges } from './profileCharts.js';
export type { PlannedProgram } from './profileCharts.js';
export { comparisonTable, profileBody, profileSentences, turnsTable } from './profileSection.js';
export { contactSheet } from './sheet.js';
export type { SheetEntry } from './sheet.js';
export { escapeHtml } from './svg.js';
export { palette, ruleColor, ruleName } from './theme.js';
