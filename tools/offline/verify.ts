/**
 * Checks files as a whole: every checksum, the order of entries, index, filter, statistics; of a data directory all that its manifest names, the manifest
 * itself, the commit log, snapshots and backups. Changes nothing; the directory of a running node may be read.
 */
import type { Disk } from '../../lib/runtime/runtime.ts'
import { BlockCache } from '../../storage/cache.ts'
import { listSegments, replaySegment, SegmentReader } from '../../storage/commitlog/replay.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { readLogRecord } from '../../storage/log-record.ts'
import { fileName, MANIFEST_NAME, type TableFile } from '../../storage/manifest.ts'
import { decodeManifest } from '../../storage/manifest-format.ts'
import { readWhole } from '../../storage/snapshot-manifest.ts'
import { openTableReader } from '../../storage/sstable/reader.ts'
import { openBlockScan } from './blocks.ts'
import { usedSegments } from './segments.ts'

export interface VerifyOutput {
  good(path: string, what: string): void
  bad(path: string, error: Error): void
}

const MANIFEST_BYTES_MAX = 1024 * 1024 * 1024

/** A file, a folder with SSTables, or a data directory. */
export async function verifyPath(disk: Disk, path: string, output: VerifyOutput): Promise<void> {
  const stat = await disk.stat(path)
  if (stat === null) throw new Error(`${path} does not exist`)
  if (!stat.directory) return verifyFile(disk, path, null, output)
  if (await disk.stat(`${path}/tables/${MANIFEST_NAME}`)) return verifyDirectory(disk, path, output)
  await verifyFolder(disk, path, output)
}

async function verifyFolder(disk: Disk, path: string, output: VerifyOutput): Promise<void> {
  for (const name of await disk.list(path)) {
    const inner = `${path}/${name}`
    if ((await disk.stat(inner))?.directory) await verifyFolder(disk, inner, output)
    else if (name.endsWith('.sst')) await verifyFile(disk, inner, null, output)
  }
  if ((await listSegments(disk, path)).length > 0) await verifyLog(disk, path, output)
}

async function verifyDirectory(disk: Disk, path: string, output: VerifyOutput): Promise<void> {
  const manifest = `${path}/tables/${MANIFEST_NAME}`
  try {
    const named = await namedFiles(disk, manifest)
    output.good(manifest, `${named.size} SSTables`)
    for (const [file, described] of named)
      await verifyFile(disk, `${path}/tables/${file}`, { described, manifest }, output)
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error
    output.bad(manifest, error)
    await verifyFolder(disk, `${path}/tables`, output)
  }
  for (const folder of ['commitlog', 'snapshots', 'backups', 'import'])
    if (await disk.stat(`${path}/${folder}`)) await verifyFolder(disk, `${path}/${folder}`, output)
}

/** By `<keyspace>/<table>-<id>/<number>.sst`. */
async function namedFiles(disk: Disk, manifest: string): Promise<Map<string, TableFile>> {
  const folders = new Map<string, string>()
  const files = new Map<string, Map<number, TableFile>>()
  for (const group of decodeManifest(await readWhole(disk, manifest, MANIFEST_BYTES_MAX), manifest))
    for (const edit of group) {
      if (edit.kind === 'table') {
        if (!folders.has(edit.table)) files.set(edit.table, new Map())
        folders.set(edit.table, edit.directory)
      } else if (edit.kind === 'add') files.get(edit.table)?.set(edit.file.number, edit.file)
      else if (edit.kind === 'remove') files.get(edit.table)?.delete(edit.number)
      else if (edit.kind === 'dropped') {
        folders.delete(edit.table)
        files.delete(edit.table)
      }
    }
  const named = new Map<string, TableFile>()
  for (const [table, own] of files)
    for (const [number, file] of own) named.set(`${folders.get(table)}/${fileName(number)}`, file)
  return named
}

async function verifyFile(
  disk: Disk,
  path: string,
  known: { readonly described: TableFile; readonly manifest: string } | null,
  output: VerifyOutput,
): Promise<void> {
  if (!path.endsWith('.sst')) return verifyLog(disk, path, output)
  try {
    const expected = known ? { uid: known.described.uid, fileBytes: known.described.fileBytes } : undefined
    const reader = await openTableReader(disk, path, { cache: new BlockCache(0), ...(expected ? { expected } : {}) })
    try {
      await reader.verify()
      const { entries, partitions } = reader.statistics
      output.good(path, `${reader.fileBytes} bytes, ${partitions} partitions, ${entries} entries`)
    } finally {
      await reader.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && known && !(await isNamed(disk, path, known.manifest)))
      return
    output.bad(path, error as Error)
    if (error instanceof CorruptionError) await tellOthers(disk, path, error, output)
  }
}

/** A running node may have removed it since. */
async function isNamed(disk: Disk, path: string, manifest: string): Promise<boolean> {
  return [...(await namedFiles(disk, manifest)).keys()].some((file) => path.endsWith(`/${file}`))
}

/** The check ends with the first damage: here are the other places. */
async function tellOthers(disk: Disk, path: string, first: CorruptionError, output: VerifyOutput): Promise<void> {
  const scan = await openBlockScan(disk, path)
  for await (const _ of scan.blocks());
  await scan.close()
  for (const problem of scan.problems) if (problem.message !== first.message) output.bad(path, problem)
}

/** All segments of a folder, or one. */
async function verifyLog(disk: Disk, path: string, output: VerifyOutput): Promise<void> {
  const files = await usedSegments(disk, path)
  if (
    !(await disk.stat(path))?.directory &&
    !(await listSegments(disk, path.slice(0, path.lastIndexOf('/')))).some((file) => file.path === path)
  )
    throw new Error(`${path} is neither an SSTable nor a commit-log segment`)
  const reader = new SegmentReader(disk)
  for (const file of files) {
    try {
      const handler = (payload: Buffer): null => {
        readLogRecord(payload)
        return null
      }
      const { records, tornBytes } = await replaySegment(await reader.load(file), file, { last: file.last, handler })
      const torn = tornBytes > 0 ? `, ${tornBytes} bytes at the end were never acknowledged` : ''
      output.good(file.path, `${records} records${torn}`)
    } catch (error) {
      output.bad(file.path, error as Error)
    }
  }
}
