/** All the real doors together. */
import type { Log, Runtime } from '../runtime.ts'
import { openNodeClock } from './clock.ts'
import { openNodeDisk } from './disk.ts'
import { openNodeJobs } from './jobs.ts'
import { openNodeNetwork } from './network.ts'
import { openNodeRandom } from './random.ts'

export function openNodeRuntime(log: Log): Runtime & AsyncDisposable {
  const jobs = openNodeJobs()
  return {
    clock: openNodeClock(),
    random: openNodeRandom(),
    disk: openNodeDisk(),
    network: openNodeNetwork(),
    jobs,
    log,
    [Symbol.asyncDispose]: () => jobs[Symbol.asyncDispose](),
  }
}
