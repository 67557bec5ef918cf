/** The segments of a commit log that hold something: those after the last of them are only prepared. */
import type { Disk } from '../../lib/runtime/runtime.ts'
import { isBlank, listSegments, type SegmentFile, SegmentReader } from '../../storage/commitlog/replay.ts'

export interface UsedSegment extends SegmentFile {
  /** It may end in a torn tail. */
  readonly last: boolean
}

/** Of a folder, or one file of it. */
export async function usedSegments(disk: Disk, path: string): Promise<UsedSegment[]> {
  const isFolder = (await disk.stat(path))?.directory ?? false
  const folder = isFolder ? path : path.slice(0, Math.max(0, path.lastIndexOf('/'))) || '.'
  const files = await listSegments(disk, folder)
  const reader = new SegmentReader(disk)
  while (files.length > 0 && isBlank(await reader.load(files.at(-1)!))) files.pop()
  const used = files.map((file, i) => ({ ...file, last: i === files.length - 1 }))
  return isFolder ? used : used.filter((file) => file.path === path)
}
