/** Runs in a worker thread: imports the module that a job names, and answers with what its function returns. */
import { parentPort } from 'node:worker_threads'
import { flattenError, restoreError } from '../job-error.ts'
import type { JobContext } from '../runtime.ts'
import { openNodeClock } from './clock.ts'
import { openNodeDisk } from './disk.ts'
import type { FromWorker, ToWorker } from './job-messages.ts'
import { openNodeRandom } from './random.ts'

/** A job that pauses more often does not wait: only to hear of an abort has it to let the thread's own loop turn. */
const PAUSE_EVERY_MS = 5

const port = parentPort!
const clock = openNodeClock()
const disk = openNodeDisk()
const random = openNodeRandom()
let running: AbortController | null = null

function tell(message: FromWorker): void {
  port.postMessage(message)
}

function contextOf(signal: AbortSignal): JobContext {
  let pausedMs = clock.monotonicMs()
  return {
    disk,
    clock,
    random,
    signal,
    progress: (report) => tell({ kind: 'progress', report }),
    async pause() {
      if (clock.monotonicMs() - pausedMs >= PAUSE_EVERY_MS) {
        await new Promise<void>((resolve) => clock.soon(resolve))
        pausedMs = clock.monotonicMs()
      }
      signal.throwIfAborted()
    },
  }
}

type Run = (argument: unknown, context: JobContext) => Promise<unknown>

async function run(message: ToWorker & { kind: 'run' }, signal: AbortSignal): Promise<void> {
  try {
    const module = (await import(message.module)) as Record<string, Run | undefined>
    const job = module[message.name]
    if (!job) throw new Error(`${message.module} exports no ${message.name}`)
    tell({ kind: 'done', result: await job(message.argument, contextOf(signal)) })
  } catch (error) {
    tell({ kind: 'failed', error: flattenError(error) })
  }
}

port.on('message', (message: ToWorker) => {
  if (message.kind === 'abort') running?.abort(restoreError(message.reason))
  else {
    running = new AbortController()
    const own = running
    void run(message, own.signal).finally(() => {
      if (running === own) running = null
    })
  }
})
