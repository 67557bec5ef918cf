/**
 * The archive: finished segments are kept in a directory of the operator's, for restoring to a point in time. No program is run: a hard link where
 * the file system allows it, else a copy.
 * Source: Cassandra's commitlog_archiving.properties, whose archive_command is told a segment when it is finished, and waited for before it is deleted.
 * Always: when archiveSegment() resolves, the whole segment and its name survive a power loss; a name in the archive is never given to other bytes.
 */
import type { Disk, DiskFile } from '../../lib/runtime/runtime.ts'
import { errorCode } from '../errors.ts'
import { HEADER_BYTES, segmentSalt } from './segment.ts'

const COPY_BYTES = 1024 * 1024
/** The file system cannot link: another device, links not known, not allowed, or too many. */
const NO_LINKS = new Set(['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/** May be called again for the same segment: it is then there already. */
export async function archiveSegment(disk: Disk, path: string, directory: string): Promise<void> {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const target = `${directory}/${name}`
  const taken = await disk.stat(target)
  if (taken === null) await linkOrCopy(disk, path, target)
  else if (!(await sameBytes(disk, path, target))) {
    // Segments of another node, or of a data directory that was deleted: ids began anew.
    const unique = `${directory}/${name.replace(/\.log$/, '')}-${await saltOf(disk, path)}.log`
    if ((await disk.stat(unique)) === null) await linkOrCopy(disk, path, unique)
  }
  await disk.syncDirectory(directory)
}

async function linkOrCopy(disk: Disk, from: string, to: string): Promise<void> {
  try {
    await disk.link(from, to)
  } catch (error) {
    if (!NO_LINKS.has(errorCode(error) ?? '')) throw error
    await copy(disk, from, to)
  }
}

async function copy(disk: Disk, from: string, to: string): Promise<void> {
  const draft = `${to}.part`
  if (await disk.stat(draft)) await disk.remove(draft)
  const source = await disk.open(from, 'read')
  try {
    const target = await disk.open(draft, 'create')
    try {
      const chunk = Buffer.allocUnsafeSlow(COPY_BYTES)
      for (let at = 0; ; ) {
        const read = await source.read(chunk, at)
        if (read === 0) break
        await target.write(chunk.subarray(0, read), at)
        at += read
      }
      await target.sync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
  await disk.rename(draft, to)
}

async function sameBytes(disk: Disk, one: string, other: string): Promise<boolean> {
  const files: DiskFile[] = []
  try {
    for (const path of [one, other]) files.push(await disk.open(path, 'read'))
    const [a, b] = files as [DiskFile, DiskFile]
    if ((await a.size()) !== (await b.size())) return false
    const [x, y] = [Buffer.allocUnsafeSlow(COPY_BYTES), Buffer.allocUnsafeSlow(COPY_BYTES)]
    for (let at = 0; ; at += COPY_BYTES) {
      const read = await a.read(x, at)
      await b.read(y, at)
      if (!x.subarray(0, read).equals(y.subarray(0, read))) return false
      if (read < COPY_BYTES) return true
    }
  } finally {
    for (const file of files) await file.close()
  }
}

async function saltOf(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, 'read')
  try {
    const header = Buffer.alloc(HEADER_BYTES)
    await file.read(header, 0)
    return segmentSalt(header).toString('hex')
  } finally {
    await file.close()
  }
}
