/**
 * Writes a memtable to an SSTable: a small one in place, a larger one by a job in a thread of its own, which is sent the records in parts.
 * A thread that dies costs nothing: the file is written in place then.
 */
import { type Disk, JobError, type Runtime } from '../lib/runtime/runtime.ts'
import { type FlushArgument, type FlushedFile, FlushInput, WRITE_MEMTABLE, writeMemtable } from './flush-job.ts'
import type { Memtable } from './memtable.ts'

/** Smaller memtables are written in place: it takes a few milliseconds, in slices below one, where a thread takes more to begin. */
const IN_PLACE_BYTES_MAX = 256 * 1024
const SOURCE = 'storage/flush.ts'

/** `wrote` is told how many bytes more are in the file; negative: that they do not count any more. Nobody writes to the memtable any more. */
export async function flushMemtable(
  runtime: Runtime,
  memtable: Memtable,
  argument: FlushArgument,
  wrote: (bytes: number) => void,
): Promise<FlushedFile> {
  const { jobs, disk, log } = runtime
  const input = new FlushInput(memtable, wrote)
  try {
    if (memtable.bytes < IN_PLACE_BYTES_MAX) return await writeInPlace(runtime, argument, input)
    return await jobs.run(WRITE_MEMTABLE, argument, { lane: 'flush', input: (spent) => input.next(spent) })
  } catch (error) {
    if (!(error instanceof JobError)) throw error
    log.warn(SOURCE, `${argument.path} is written without a thread of its own: ${error.message}`)
    await removeIfThere(disk, argument.path)
    input.restart()
    return await writeInPlace(runtime, argument, input)
  } finally {
    input.end()
  }
}

function writeInPlace(runtime: Runtime, argument: FlushArgument, input: FlushInput): Promise<FlushedFile> {
  const { disk, clock, random } = runtime
  let part: Uint8Array | null = null
  return writeMemtable(argument, {
    disk,
    clock,
    random,
    signal: new AbortController().signal,
    async input() {
      part = input.next(part)
      return part
    },
    progress() {},
    pause: () => new Promise((resolve) => clock.soon(resolve)),
  })
}

async function removeIfThere(disk: Disk, path: string): Promise<void> {
  if ((await disk.stat(path)) !== null) await disk.remove(path)
}
