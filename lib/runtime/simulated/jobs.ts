/**
 * Jobs in place: the same functions, on the simulated disk and clock, cut into slices at their pauses. Each slice takes virtual time. By chance
 * the job's thread "dies" at a pause or at the disk: it never runs another line, and whoever asked for it is told so, as with a real thread.
 */
import { flattenError, restoreError } from '../job-error.ts'
import { JobLaneQueue } from '../job-lane.ts'
import {
  type Clock,
  type Disk,
  type DiskFile,
  type Job,
  type JobContext,
  JobError,
  type JobLane,
  type JobOptions,
  type Jobs,
  type Random,
} from '../runtime.ts'

export interface SimulatedJobsOptions {
  readonly clock: Clock
  readonly disk: Disk
  readonly random: Random
  /** Threads of each lane. Default 1 each, compaction 64. */
  readonly widths?: Partial<Record<JobLane, number>>
  /** Virtual time of a slice: by chance up to so much. Default 0: each only lets others run. */
  readonly sliceMsMax?: number
  /** Chance, 0 to 1, that the thread dies: at each pause and each use of the disk, before its first and after its last line. Default 0. */
  readonly deathChance?: number
}

/** Who asks for compactions decides how many run at once, and may change that at any time: the lane only sets a bound. */
const WIDTHS: Record<JobLane, number> = { flush: 1, compaction: 64, other: 1 }

export function createSimulatedJobs(options: SimulatedJobsOptions): Jobs {
  const { clock, disk, sliceMsMax = 0, deathChance = 0 } = options
  const widths = { ...WIDTHS, ...options.widths }
  const lanes: Record<JobLane, JobLaneQueue> = {
    flush: new JobLaneQueue(widths.flush),
    compaction: new JobLaneQueue(widths.compaction),
    other: new JobLaneQueue(widths.other),
  }
  const chance = options.random.stream('jobs')
  const ofJobs = options.random.stream('in jobs')

  const slice = (): Promise<void> =>
    new Promise((resolve) => {
      if (sliceMsMax > 0) clock.after(chance.float() * sliceMsMax, resolve)
      else clock.soon(resolve)
    })

  const runInPlace = <A, R>(job: Job<A, R>, argument: A, options: JobOptions): Promise<R> =>
    new Promise<R>((resolve, reject) => {
      const controller = new AbortController()
      const { signal } = options
      const abort = (): void => controller.abort(restoreError(flattenError(signal?.reason)))
      let dead = false
      let part: Uint8Array | null = null
      const mayDie = async (): Promise<void> => {
        if (deathChance === 0 || chance.float() >= deathChance) return
        dead = true
        signal?.removeEventListener('abort', abort)
        reject(new JobError('the worker thread died: simulated'))
        await new Promise<never>(() => {})
      }
      const context: JobContext = {
        disk: deathChance === 0 ? disk : mortalDisk(disk, mayDie),
        clock,
        random: ofJobs,
        signal: controller.signal,
        async input() {
          await mayDie()
          // Whoever still looks at it shall see that it is gone.
          part?.fill(0xdd)
          part = options.input?.(part) ?? null
          return part
        },
        progress(report) {
          if (!dead) options.progress?.(structuredClone(report))
        },
        async pause() {
          await slice()
          await mayDie()
          controller.signal.throwIfAborted()
        },
      }
      const run = async (): Promise<R> => {
        const given = structuredClone(argument)
        await slice()
        await mayDie()
        const result = structuredClone(await job.run(given, context))
        await mayDie()
        return result
      }
      signal?.addEventListener('abort', abort)
      run()
        .finally(() => signal?.removeEventListener('abort', abort))
        .then(resolve, (error: unknown) => reject(restoreError(flattenError(error))))
    })

  return {
    async run<A, R>(job: Job<A, R>, argument: A, options: JobOptions = {}): Promise<R> {
      const { signal, lane: name = 'other' } = options
      const lane = lanes[name]
      await lane.enter(signal)
      try {
        return await runInPlace(job, argument, options)
      } catch (error) {
        signal?.throwIfAborted()
        throw error
      } finally {
        lane.leave()
      }
    },
  }
}

/** The disk as a thread has it that may die before each operation. Reading of names and sizes is no place to die: nothing would differ. */
function mortalDisk(disk: Disk, mayDie: () => Promise<void>): Disk {
  const file = (real: DiskFile): DiskFile => ({
    path: real.path,
    read: (target, position) => real.read(target, position),
    write: (source, position) => mayDie().then(() => real.write(source, position)),
    sync: () => mayDie().then(() => real.sync()),
    truncate: (size) => mayDie().then(() => real.truncate(size)),
    size: () => real.size(),
    close: () => mayDie().then(() => real.close()),
  })
  return {
    open: (path, mode) => mayDie().then(async () => file(await disk.open(path, mode))),
    mkdir: (path) => mayDie().then(() => disk.mkdir(path)),
    list: (path) => disk.list(path),
    stat: (path) => disk.stat(path),
    rename: (from, to) => mayDie().then(() => disk.rename(from, to)),
    link: (from, to) => mayDie().then(() => disk.link(from, to)),
    remove: (path) => mayDie().then(() => disk.remove(path)),
    removeTree: (path) => mayDie().then(() => disk.removeTree(path)),
    syncDirectory: (path) => mayDie().then(() => disk.syncDirectory(path)),
    freeBytes: (path) => disk.freeBytes(path),
    space: (path) => disk.space(path),
    lock: (path) => disk.lock(path),
  }
}
