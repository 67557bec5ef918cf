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
const PARTS_AHEAD = 2

const port = parentPort!
const clock = openNodeClock()
const disk = openNodeDisk()
const random = openNodeRandom()
let running: { readonly controller: AbortController; readonly input: Input } | null = null

function tell(message: FromWorker, given: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, given)
}

/** Parts of the job's input, asked for ahead so that the next is made while one is used. */
class Input {
  readonly #parts: (ToWorker & { kind: 'part' })[] = []
  #current: Uint8Array | null = null
  #begun = false
  #wake: (() => void) | null = null

  take(message: ToWorker & { kind: 'part' }): void {
    this.#parts.push(message)
    this.#wake?.()
  }

  async next(): Promise<Uint8Array | null> {
    if (this.#begun) this.#pull()
    else for (let ahead = 0; ahead < PARTS_AHEAD; ahead++) this.#pull()
    this.#begun = true
    if (this.#parts.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    this.#wake = null
    const { part, error } = this.#parts.shift()!
    if (error) throw restoreError(error)
    this.#current = part
    return part
  }

  #pull(): void {
    const spent = this.#current
    this.#current = null
    tell({ kind: 'pull', spent }, spent ? [spent.buffer as ArrayBuffer] : [])
  }
}

function contextOf(signal: AbortSignal, input: Input): JobContext {
  let pausedMs = clock.monotonicMs()
  return {
    disk,
    clock,
    random,
    signal,
    input: () => input.next(),
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

async function run(message: ToWorker & { kind: 'run' }, context: JobContext): Promise<void> {
  try {
    const module = (await import(message.module)) as Record<string, Run | undefined>
    const job = module[message.name]
    if (!job) throw new Error(`${message.module} exports no ${message.name}`)
    tell({ kind: 'done', result: await job(message.argument, context) })
  } catch (error) {
    tell({ kind: 'failed', error: flattenError(error) })
  }
}

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'abort':
      running?.controller.abort(restoreError(message.reason))
      break
    case 'part':
      running?.input.take(message)
      break
    default: {
      const own = { controller: new AbortController(), input: new Input() }
      running = own
      void run(message, contextOf(own.controller.signal, own.input)).finally(() => {
        if (running === own) running = null
      })
    }
  }
})
