import { cpus, totalmem } from 'node:os';
import type { AdapterInfo } from '../runtime/adapter.js';
import { bytesText } from '../profile/textTable.js';

/** What a reader must know to judge the figures of a report: adapter, processor, versions. */
export function machineFacts(adapter: AdapterInfo, version: string): (readonly [string, string])[] {
  const processors = cpus();
  return [
    ['adapter', adapter.description || adapter.device],
    ['vendor', `${adapter.vendor} ${adapter.architecture}`.trim()],
    ['computes on', adapter.software ? 'the CPU (software driver)' : 'a GPU'],
    [
      'subgroups',
      adapter.subgroupMaxSize === 0
        ? 'unknown'
        : `${adapter.subgroupMinSize} to ${adapter.subgroupMaxSize} invocations`,
    ],
    ['processor', `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}`],
    ['memory', bytesText(totalmem())],
    ['system', `${process.platform} ${process.arch}`],
    ['Node', process.version],
    ['linbp', version],
  ];
}
