import { colorVariables } from './theme.js';

const light =
  colorVariables('light') +
  '--page:#f5f7fa;--line:#dfe4ea;--wrong:#b3261e;--right:#2f6f3a;--barfill:#2563c91f;--edge:#1c243038;';
const dark =
  colorVariables('dark') +
  '--page:#0e1217;--line:#2a323d;--wrong:#ff8a80;--right:#86cf93;--barfill:#6ea6ff2b;--edge:#e6eaf040;';

/** The style sheet of all reports. */
export const style = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);overflow-wrap:break-word;
  font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:30px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:20px;margin:0 0 8px}
h3{font-size:15px;margin:24px 0 8px}
p{margin:8px 0;max-width:95ch}
.subtitle{color:var(--muted);font-size:16px;margin:6px 0 14px}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;font-size:14px}
a{color:var(--bp);text-decoration:none}
a:hover{text-decoration:underline}
section{background:var(--surface);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin-top:18px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin-top:20px}
.tile{background:var(--surface);border:1px solid var(--line);border-left:4px solid var(--c,var(--axis));
  border-radius:8px;padding:12px 14px;display:flex;flex-direction:column}
.tile span{color:var(--muted);font-size:13px}
.tile b{font-size:24px;line-height:1.3;font-variant-numeric:tabular-nums}
.tile small{color:var(--muted);font-size:12px}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr));
  gap:22px 28px;margin:14px 0;align-items:start}
.figures.one{grid-template-columns:minmax(0,1fr)}
.figures.three{grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr))}
figure{margin:0;min-width:0}
figcaption{font-weight:600;font-size:14px}
[data-series][role=button]{cursor:pointer}
[aria-pressed=false]{opacity:.4;text-decoration:line-through}
thead th[aria-sort]{cursor:pointer}
th[aria-sort=ascending]::after{content:" \\2191"}
th[aria-sort=descending]::after{content:" \\2193"}
.filter{display:flex;gap:12px;align-items:center;margin:12px 0 -4px;font-size:13px;color:var(--muted)}
.filter input{font:inherit;color:var(--ink);background:var(--page);border:1px solid var(--line);border-radius:6px;
  padding:5px 9px;min-width:0}
ul.verdict{font-size:17px;line-height:1.5;padding-left:20px;margin:6px 0}
ul.verdict li{margin:6px 0;max-width:95ch}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(148px,1fr));gap:14px 12px;margin:12px 0}
.sheet figure{font-size:12px;color:var(--muted);overflow-wrap:anywhere}
.sheet div{display:flex;gap:2px}
.sheet img{width:50%;image-rendering:pixelated;border:1px solid var(--line);border-radius:3px}
.sheet .wrong{color:var(--wrong);font-weight:600}
.sheet .right{color:var(--right)}
.chart>svg,.plain svg{display:block;width:100%;height:auto;font-family:inherit}
.one .chart>svg{max-width:900px}
.legend{display:flex;flex-wrap:wrap;align-items:center;gap:2px 16px;font-size:13px;color:var(--muted);margin:2px 0}
.tools{display:inline-flex;gap:6px;margin-left:auto}
.tools button{font:inherit;font-size:12px;line-height:1.4;color:var(--muted);background:none;
  border:1px solid var(--line);border-radius:6px;padding:1px 7px;cursor:pointer}
.tools button:hover:enabled{color:var(--ink);border-color:var(--axis)}
.tools button:disabled{opacity:.5;cursor:default}
.key{display:inline-flex;align-items:center;gap:6px;overflow-wrap:anywhere}
i.line{flex:none;width:20px;border-top:3px solid var(--c)}
i.dashed{border-top-style:dashed}
i.square{display:inline-block;width:10px;height:10px;border-radius:2px;background:var(--c);margin-right:6px}
.key i.square{margin:0}
.wide{overflow-x:auto;margin:12px 0;background:
  linear-gradient(90deg,var(--surface) 50%,transparent) 0 0/32px 100% no-repeat local,
  linear-gradient(270deg,var(--surface) 50%,transparent) 100% 0/32px 100% no-repeat local,
  linear-gradient(90deg,var(--edge),transparent) 0 0/14px 100% no-repeat scroll,
  linear-gradient(270deg,var(--edge),transparent) 100% 0/14px 100% no-repeat scroll}
.hint{font-size:12px;color:var(--muted);margin:12px 0 -8px}
.hint[hidden]{display:none}
table{border-collapse:separate;border-spacing:0;font-size:13px;white-space:nowrap;overflow-wrap:normal}
th,td{padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);position:relative}
th{color:var(--muted);font-weight:600;vertical-align:bottom;white-space:normal;max-width:130px;line-height:1.3}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;padding-left:6px}
th:first-child,td:first-child{position:sticky;left:0;background:var(--surface);z-index:1}
i.bar{position:absolute;inset:2px auto 2px 0;background:var(--barfill);border-radius:2px}
td.prose{white-space:normal;min-width:200px;max-width:460px}
tbody tr:last-child td{border-bottom:0}
table.images td,table.images th{border:0;padding:4px 8px 6px 0;text-align:center;vertical-align:top}
table.images th{text-align:left;vertical-align:middle;padding-right:16px;white-space:normal;
  min-width:92px;max-width:130px}
table.images img{display:block;margin:0 auto 3px;image-rendering:pixelated;
  border:1px solid var(--line);border-radius:3px}
table.images span{font-size:12px;color:var(--muted);font-variant-numeric:tabular-nums}
table.images .wrong{color:var(--wrong);font-weight:600}
table.images .right{color:var(--right)}
pre{font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:0}
pre.code{white-space:pre-wrap;overflow-wrap:anywhere;margin:12px 0;padding:10px 12px;background:var(--page);
  border:1px solid var(--line);border-radius:6px}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:0 28px;margin:10px 0;font-size:14px}
dl div{display:flex;justify-content:space-between;gap:14px;border-bottom:1px solid var(--line);padding:5px 0}
dt{color:var(--muted)}
dd{margin:0;text-align:right;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
details{margin:12px 0}
summary{cursor:pointer;color:var(--bp);font-size:14px}
footer{color:var(--muted);font-size:13px;margin-top:22px}
@media (max-width:600px){main{padding:18px 12px 32px}section{padding:14px 12px}h1{font-size:24px}
  ul.verdict{font-size:16px}.sheet{grid-template-columns:repeat(auto-fill,minmax(124px,1fr))}
  .dropped{display:none}td.wrapped,th.wrapped{white-space:normal;overflow-wrap:break-word}
  th,td{padding-right:6px}td.n,th.n{padding-left:2px}
  table:not(.images){font-size:12px}
  td.prose{min-width:88px}dl{grid-template-columns:minmax(0,1fr)}
  table.images,table.images tbody{display:block}
  table.images tr{display:grid;grid-template-columns:repeat(var(--columns),minmax(0,1fr));gap:6px;margin-bottom:10px}
  table.images th{position:static;grid-column:1/-1;max-width:none;padding:4px 0 0}
  table.images td,table.images td:first-child{position:static;padding:0}
  table.images img{width:100%;height:auto}
  table.images span{display:block;font-size:11px;line-height:1.3;white-space:normal;overflow-wrap:break-word}}
@media print{body{background:#fff}section,.tile{break-inside:avoid;border-color:#ccc}nav,.tools{display:none}}
`;
