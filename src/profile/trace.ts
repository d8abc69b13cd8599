import { expectList } from '../arguments.js';
import { directionNames } from './table.js';
import type { Profile } from './profile.js';

/** An event of the Trace Event format, which Perfetto and chrome://tracing open. Times are microseconds. */
export interface TraceEvent {
  readonly name: string;
  /** X: complete event, M: metadata, s and f: start and finish of a flow arrow. */
  readonly ph: 'X' | 'M' | 's' | 'f';
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly id?: number;
  /** The arrow's end binds to the slice that encloses it. */
  readonly bp?: 'e';
  readonly args?: Readonly<Record<string, string | number>>;
}

/** Content of a trace file. */
export interface Trace {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: 'ns';
}

/**
 * The runs of median length as a trace: a process per profile, a row per layer in the order of the network, and an
 * arrow from each layer's forward dispatch to the first dispatch of its backward.
 */
export function traceOf(profiles: readonly Profile[]): Trace {
  expectList(profiles, 'profiles', { label: 'text', dispatches: 'list' });
  const events: TraceEvent[] = [];
  let flow = 0;
  for (const [number, profile] of profiles.entries()) {
    const pid = number + 1;
    events.push({
      name: 'process_name',
      ph: 'M',
      pid,
      tid: 0,
      args: { name: profile.label === '' ? 'linbp' : `linbp ${profile.label}` },
    });
    const rows = new Map<string, number>();
    for (const { layer } of profile.dispatches) {
      if (rows.has(layer)) continue;
      const tid = rows.size + 1;
      rows.set(layer, tid);
      events.push({ name: 'thread_name', ph: 'M', pid, tid, args: { name: layer || '(no layer)' } });
      events.push({ name: 'thread_sort_index', ph: 'M', pid, tid, args: { sort_index: tid } });
    }
    for (const dispatch of profile.dispatches) {
      const tid = rows.get(dispatch.layer)!;
      events.push({
        name: `${dispatch.kernel} (${directionNames[dispatch.direction]})`,
        cat: dispatch.direction,
        ph: 'X',
        pid,
        tid,
        ts: dispatch.beginMicroseconds,
        dur: dispatch.endMicroseconds - dispatch.beginMicroseconds,
        args: {
          variant: dispatch.variant,
          rule: dispatch.rule || 'none',
          segment: dispatch.segment,
          workgroups: dispatch.workgroups.join(' x '),
          'median us': dispatch.microseconds,
          'GFLOP/s': dispatch.gflops,
          'GB/s': dispatch.gbps,
        },
      });
    }
    for (const [layer, tid] of rows) {
      const own = profile.dispatches.filter((dispatch) => dispatch.layer === layer);
      const from = own.findLast((dispatch) => dispatch.direction === 'forward');
      const to = own.find(
        (dispatch) => dispatch.direction === 'inputGradient' || dispatch.direction === 'weightGradient',
      );
      if (from === undefined || to === undefined || to.beginMicroseconds < from.endMicroseconds) continue;
      flow += 1;
      const arrow = { name: 'backward', cat: 'flow', pid, tid, id: flow };
      events.push({ ...arrow, ph: 's', ts: (from.beginMicroseconds + from.endMicroseconds) / 2 });
      events.push({ ...arrow, ph: 'f', bp: 'e', ts: (to.beginMicroseconds + to.endMicroseconds) / 2 });
    }
  }
  return { traceEvents: events, displayTimeUnit: 'ns' };
}
