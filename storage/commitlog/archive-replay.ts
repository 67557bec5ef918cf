/**
 * Reads archived segments back. Each stands alone: unlike in a log, some may be missing.
 * Always: a record is handed over as it was written; a segment that is damaged or cut is CorruptionError, unless its end can be a torn tail.
 */
import type { Disk } from '../../lib/runtime/runtime.ts'
import type { Progress } from './progress.ts'
import { countProgress, isBlank, type RecordHandler, replaySegment, type SegmentFile, SegmentReader } from './replay.ts'
import { parseArchivedName } from './segment.ts'

/** Hands every record of the segments in these directories to the handler, those of smaller ids first. Returns how many segments there were. */
export async function replayArchive(
  disk: Disk,
  directories: readonly string[],
  handler: RecordHandler,
  progress: Progress,
): Promise<number> {
  const files = await listArchive(disk, directories)
  let total = 0
  for (const { path } of files) total += (await disk.stat(path))?.size ?? 0
  const counted = countProgress(total, handler, progress)
  for (const file of files) {
    // A reader of its own: ids may come twice.
    const bytes = await new SegmentReader(disk).load(file)
    if (!isBlank(bytes)) await replaySegment(bytes, file, { last: true, handler: counted.handler })
    counted.passed(bytes.length)
  }
  return files.length
}

async function listArchive(disk: Disk, directories: readonly string[]): Promise<SegmentFile[]> {
  const found: SegmentFile[] = []
  for (const directory of directories)
    for (const name of await disk.list(directory)) {
      const id = parseArchivedName(name)
      if (id !== null) found.push({ id, path: `${directory}/${name}` })
    }
  return found.sort((a, b) => a.id - b.id || (a.path < b.path ? -1 : 1))
}
