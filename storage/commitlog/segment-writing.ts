/** Single acts on a segment's file: what the log does with it, in the order that its promises need. */
import type { Disk } from '../../lib/runtime/runtime.ts'
import type { ReplayedSegment } from './replay.ts'
import { MARK_BYTES, MarkKind, writeMark } from './segment.ts'
import type { Segment } from './segments.ts'

export async function syncSegment(segment: Segment): Promise<void> {
  const file = (await segment.file)!
  const { writtenTo } = segment
  await file.sync()
  segment.syncedTo = writtenTo
}

export async function closeFile(segment: Segment): Promise<void> {
  const file = await segment.file?.catch(() => null)
  segment.file = null
  await file?.close()
}

/** A mark behind everything that was synced, which says so. */
export async function writeSyncedMark(segment: Segment, offset: number): Promise<void> {
  await writeMarkTo(segment, MarkKind.BATCH, offset)
  segment.writtenTo = offset + MARK_BYTES
}

export async function writeClosingMark(segment: Segment, kind: number, offset: number): Promise<void> {
  await writeMarkTo(segment, kind, offset)
  const file = (await segment.file)!
  await file.sync()
  if (kind !== MarkKind.CLEAN) return
  // Only now: a segment that is shorter than its header says must have its clean mark.
  await file.truncate(offset + MARK_BYTES)
  await file.sync()
}

async function writeMarkTo(segment: Segment, kind: number, offset: number): Promise<void> {
  const mark = Buffer.alloc(MARK_BYTES)
  writeMark(mark, 0, { kind, syncedTo: offset, segmentSeed: segment.seed, offset })
  await (await segment.file)!.write(mark, offset)
}

/**
 * Makes the last segment that holds anything whole and durable as it was read, closed by a mark, so that others may follow it. What a killed process
 * left in the page cache is read, but may not be on disk, and if a sync of it failed, another alone would not bring it there: all behind `syncedTo`
 * is written again, the closing mark too, for nothing says that it was synced.
 */
export async function sealSegment(disk: Disk, segment: ReplayedSegment): Promise<void> {
  const file = await disk.open(segment.path, 'readwrite')
  try {
    const mark = Buffer.alloc(MARK_BYTES)
    const { end, syncedTo } = segment
    writeMark(mark, 0, { kind: MarkKind.RECOVERED, syncedTo: end, segmentSeed: segment.seed, offset: end })
    // The mark must not say that it is synced before it is.
    const tail = Buffer.alloc(Math.max(0, end - syncedTo))
    await file.read(tail, syncedTo)
    await file.write(tail, syncedTo)
    await file.sync()
    await file.write(mark, end)
    await file.sync()
  } finally {
    await file.close()
  }
}
