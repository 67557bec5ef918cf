/**
 * Jobs in worker threads: so many for each lane, started with the first job that needs one and ended when there was none for a while.
 * Always: a thread has one job at a time; a thread that dies fails its job and no other; at the end no thread is left.
 */
import { Worker } from 'node:worker_threads'
import { flattenError, restoreError } from '../job-error.ts'
import { JobLaneQueue } from '../job-lane.ts'
import { type Job, JobError, type JobLane, type JobOptions, type Jobs } from '../runtime.ts'
import type { FromWorker, ToWorker } from './job-messages.ts'

export interface NodeJobsOptions {
  /** Threads of each lane at most. Default: flush 1, compaction 64, other 1. */
  readonly widths?: Partial<Record<JobLane, number>>
  /** A thread without a job for so long is ended. Default 30 s: it takes about 10 MB. */
  readonly idleMs?: number
  /** Heap of a thread, in MB, beyond which it dies. Default 256. Bytes in buffers do not count. */
  readonly oldGenerationMb?: number
  /** How long close() waits for jobs to end after it aborted them. Default 5 s. */
  readonly closeMs?: number
}

export interface NodeJobs extends Jobs, AsyncDisposable {
  /** Threads that there are now. */
  readonly threads: number
}

/** Small: it keeps a thread small, and its collections short. */
const YOUNG_GENERATION_MB = 16
const OLD_GENERATION_MB = 256
/** Who asks for compactions decides how many run at once, and may change that at any time: the lane only sets a bound. */
const WIDTHS: Record<JobLane, number> = { flush: 1, compaction: 64, other: 1 }
const IDLE_MS = 30_000
const CLOSE_MS = 5_000

interface Settle {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
  readonly progress: ((report: unknown) => void) | undefined
  readonly input: JobOptions['input']
}

class JobThread {
  readonly #worker: Worker
  readonly #onEnd: () => void
  #job: Settle | null = null
  #failure: JobError | null = null
  #ended = false
  idleTimer: NodeJS.Timeout | null = null

  constructor(lane: JobLane, oldGenerationMb: number, onEnd: () => void) {
    this.#onEnd = onEnd
    this.#worker = new Worker(new URL('./job-worker.js', import.meta.url), {
      name: `polyxena-${lane}`,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB, maxOldGenerationSizeMb: oldGenerationMb },
    })
    this.#worker.on('message', (message: FromWorker) => this.#take(message))
    this.#worker.on('error', (cause) => {
      this.#failure = new JobError(`the worker thread died: ${String(cause)}`, { cause })
    })
    // Not before: until then calls to the disk that it began may be under way.
    this.#worker.on('exit', (code) => {
      this.#end(this.#failure ?? new JobError(`the worker thread ended (exit code ${code})`))
    })
    this.#worker.unref()
  }

  get isUsable(): boolean {
    return !this.#ended && this.#failure === null
  }

  run(job: Job<unknown, unknown>, argument: unknown, options: JobOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#worker.postMessage({ kind: 'run', module: job.module, name: job.name, argument } satisfies ToWorker)
      this.#job = { resolve, reject, progress: options.progress, input: options.input }
      this.#worker.ref()
    })
  }

  abort(reason: unknown): void {
    if (this.#job) this.#worker.postMessage({ kind: 'abort', reason: flattenError(reason) } satisfies ToWorker)
  }

  #take(message: FromWorker): void {
    const job = this.#job
    if (!job) return
    switch (message.kind) {
      case 'progress':
        job.progress?.(message.report)
        break
      case 'pull':
        this.#give(job, message.spent)
        break
      default:
        this.#job = null
        this.#worker.unref()
        if (message.kind === 'done') job.resolve(message.result)
        else job.reject(restoreError(message.error))
    }
  }

  #give(job: Settle, spent: Uint8Array | null): void {
    let answer: ToWorker
    try {
      answer = { kind: 'part', part: job.input?.(spent) ?? null, error: null }
    } catch (error) {
      answer = { kind: 'part', part: null, error: flattenError(error) }
    }
    this.#worker.postMessage(answer, answer.part ? [answer.part.buffer as ArrayBuffer] : [])
  }

  #end(error: JobError): void {
    this.#ended = true
    this.#onEnd()
    this.#job?.reject(error)
    this.#job = null
  }

  async terminate(): Promise<void> {
    if (this.idleTimer) clearTimeout(this.idleTimer)
    await this.#worker.terminate()
  }
}

class Lane {
  readonly queue: JobLaneQueue
  readonly threads = new Set<JobThread>()
  /** The one that ran last is used first, so that the others can be ended. */
  readonly idle: JobThread[] = []

  constructor(width: number) {
    this.queue = new JobLaneQueue(width)
  }
}

class ThreadedJobs implements NodeJobs {
  readonly #lanes: Record<JobLane, Lane>
  readonly #idleMs: number
  readonly #closeMs: number
  readonly #oldGenerationMb: number
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  constructor(options: NodeJobsOptions) {
    const widths = { ...WIDTHS, ...options.widths }
    this.#lanes = {
      flush: new Lane(widths.flush),
      compaction: new Lane(widths.compaction),
      other: new Lane(widths.other),
    }
    this.#idleMs = options.idleMs ?? IDLE_MS
    this.#closeMs = options.closeMs ?? CLOSE_MS
    this.#oldGenerationMb = options.oldGenerationMb ?? OLD_GENERATION_MB
  }

  get threads(): number {
    return Object.values(this.#lanes).reduce((sum, { threads }) => sum + threads.size, 0)
  }

  run<A, R>(job: Job<A, R>, argument: A, options: JobOptions = {}): Promise<R> {
    const done = this.#run(job as Job<unknown, unknown>, argument, options)
    this.#running.add(done)
    const forget = (): void => {
      this.#running.delete(done)
    }
    done.then(forget, forget)
    return done as Promise<R>
  }

  async #run(job: Job<unknown, unknown>, argument: unknown, options: JobOptions): Promise<unknown> {
    const { signal } = options
    this.#closing.signal.throwIfAborted()
    const laneName = options.lane ?? 'other'
    const lane = this.#lanes[laneName]
    await lane.queue.enter(signal)
    try {
      const thread = this.#threadOf(laneName, lane)
      try {
        return await this.#runOn(thread, job, argument, options)
      } catch (error) {
        signal?.throwIfAborted()
        this.#closing.signal.throwIfAborted()
        throw error
      } finally {
        this.#rest(lane, thread)
      }
    } finally {
      lane.queue.leave()
    }
  }

  async #runOn(
    thread: JobThread,
    job: Job<unknown, unknown>,
    argument: unknown,
    options: JobOptions,
  ): Promise<unknown> {
    const { signal } = options
    const closing = this.#closing.signal
    const abort = (): void => thread.abort(closing.aborted ? closing.reason : signal?.reason)
    const result = thread.run(job, argument, options)
    signal?.addEventListener('abort', abort)
    closing.addEventListener('abort', abort)
    if (signal?.aborted || closing.aborted) abort()
    try {
      return await result
    } finally {
      signal?.removeEventListener('abort', abort)
      closing.removeEventListener('abort', abort)
    }
  }

  #threadOf(name: JobLane, lane: Lane): JobThread {
    this.#closing.signal.throwIfAborted()
    const rested = lane.idle.pop()
    if (rested) {
      clearTimeout(rested.idleTimer!)
      return rested
    }
    const thread = new JobThread(name, this.#oldGenerationMb, () => {
      lane.threads.delete(thread)
      const at = lane.idle.indexOf(thread)
      if (at >= 0) lane.idle.splice(at, 1)
    })
    lane.threads.add(thread)
    return thread
  }

  #rest(lane: Lane, thread: JobThread): void {
    if (!thread.isUsable || this.#closing.signal.aborted) return
    lane.idle.push(thread)
    thread.idleTimer = setTimeout(() => {
      lane.idle.splice(lane.idle.indexOf(thread), 1)
      void thread.terminate()
    }, this.#idleMs)
    thread.idleTimer.unref()
  }

  /** Aborts what runs, waits a while for it to end, and ends all threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new JobError('the node is closing'))
    for (const { queue } of Object.values(this.#lanes)) queue.clear(this.#closing.signal.reason)
    let late: NodeJS.Timeout | undefined
    const waited = new Promise<void>((resolve) => {
      late = setTimeout(resolve, this.#closeMs)
    })
    await Promise.race([Promise.allSettled(this.#running), waited])
    clearTimeout(late)
    for (const { threads } of Object.values(this.#lanes))
      await Promise.all([...threads].map((thread) => thread.terminate()))
    await Promise.allSettled(this.#running)
  }
}

export function openNodeJobs(options: NodeJobsOptions = {}): NodeJobs {
  return new ThreadedJobs(options)
}
