/** Opens a commit log: what is there is replayed, then a new segment begins. */
import type { CommitLogOptions } from './options.ts'
import { progressLog } from './progress.ts'
import { type RecordHandler, replayCommitLog } from './replay.ts'
import type { LogServices } from './segments.ts'
import { CommitLog } from './writer.ts'

/** Replays what the directory holds through `handler`, then opens a fresh segment for writing; on a full disk as soon as there is room. */
export async function openCommitLog(
  runtime: LogServices,
  directory: string,
  options: CommitLogOptions,
  handler: RecordHandler,
): Promise<CommitLog> {
  const { disk } = runtime
  await makeDirectory(disk, directory)
  if (options.archiveDirectory) await makeDirectory(disk, options.archiveDirectory)
  const replayed = await replayCommitLog(disk, directory, handler, progressLog(runtime))
  const log = new CommitLog(runtime, directory, options, replayed)
  await log.start(replayed)
  return log
}

async function makeDirectory(disk: LogServices['disk'], directory: string): Promise<void> {
  await disk.mkdir(directory)
  const slash = directory.lastIndexOf('/')
  if (slash > 0) await disk.syncDirectory(directory.slice(0, slash))
}
