/** A runtime for storage alone: what it must not touch throws. */
import type { Clock, Disk, Log, Runtime } from '../../lib/runtime/runtime.ts'
import { createSimulatedJobs } from '../../lib/runtime/simulated/jobs.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

const silent: Log = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

function forbidden<T extends object>(what: string): T {
  return new Proxy({} as T, {
    get() {
      throw new Error(`storage touched the ${what}`)
    },
  })
}

export function memoryRuntime(clock: Clock): Runtime {
  return { ...storageRuntime(clock, forbidden<Disk>('disk')), jobs: forbidden('jobs') }
}

export function storageRuntime(clock: Clock, disk: Disk, log: Log = silent): Runtime {
  const random = createSeededRandom(1)
  return {
    clock,
    random,
    disk,
    network: forbidden('network'),
    jobs: createSimulatedJobs({ clock, disk, random }),
    log,
  }
}
