import type { BullQueue } from '../../jobs/bullQueue.js';
import { readJob } from '../../jobs/description.js';
import type { Job } from '../../jobs/description.js';
import { failureOf } from '../../jobs/bullQueue.js';

/** What a queue holds of a task. */
export interface TaskOverview {
  readonly task: string;
  readonly kind: string;
  waiting: number;
  active: number;
  failed: number;
  /** Of those that Redis still remembers. */
  completed: number;
  /** Images or cells of the jobs that wait or are at work. */
  left: number;
  /** The first error of a failed job. */
  error?: string;
}

const states = ['waiting', 'active', 'failed', 'completed'] as const;
const page = 1000;

/** All tasks of a queue with the number of their jobs by state. Jobs that are not linbp's are left out. */
export async function overviewOf(queue: BullQueue): Promise<TaskOverview[]> {
  const tasks = new Map<string, TaskOverview>();
  for (const state of states) {
    for (let from = 0; ; from += page) {
      const jobs = await queue.bull.getJobs([state], from, from + page - 1);
      if (jobs.length === 0) break;
      for (const found of jobs) {
        let job: Job;
        try {
          job = readJob(found.name, found.data);
        } catch {
          continue;
        }
        const empty: TaskOverview = {
          task: job.task,
          kind: job.kind,
          waiting: 0,
          active: 0,
          failed: 0,
          completed: 0,
          left: 0,
        };
        const task = tasks.get(job.task) ?? empty;
        tasks.set(job.task, task);
        task[state] += 1;
        if (state === 'waiting' || state === 'active') task.left += job.to - job.from;
        if (state === 'failed') task.error ??= failureOf(found.failedReason).message;
      }
    }
  }
  return [...tasks.values()].sort((a, b) => (a.task < b.task ? -1 : 1));
}
