/**
 * Restore: SSTables of a snapshot, a backup or another node taken into a live table, on a running node. Source: Cassandra's nodetool refresh and import.
 * Each file is checked as a whole (every checksum, its order, its identity, and that its columns are the table's) before any of them counts; then one
 * edit of the manifest adds them all. Cells merge with what is there by their timestamps, like any others.
 * Always: all files are taken in or none; sources are not touched, but for those to be moved, when it is done; a crash leaves nothing, or everything.
 */
import { BytesError } from '../lib/base/bytes.ts'
import type { Disk, Runtime } from '../lib/runtime/runtime.ts'
import type { Backups } from './backups.ts'
import type { BlockCache } from './cache.ts'
import { CorruptionError, SnapshotError } from './errors.ts'
import type { Edit, Manifest, TableFile } from './manifest.ts'
import { EntryKind } from './model/mutation.ts'
import type { OpenFiles } from './open-files.ts'
import { type ColumnFate, RowRemapper } from './remap-rows.ts'
import { type SnapshotManifest, tryReadManifest } from './snapshot-manifest.ts'
import { SNAPSHOT_MANIFEST, SNAPSHOT_SCHEMA } from './snapshots.ts'
import { openTableReader, type TableReader } from './sstable/reader.ts'
import { openTableWriter } from './sstable/writer.ts'
import { writerOptions } from './table-options.ts'
import type { LiveFile, TableStore } from './table-store.ts'

/** Whether files with that shape can be taken into the table, and what becomes of their columns. */
export type Fit =
  | { readonly kind: 'same' }
  | { readonly kind: 'mapped'; readonly columns: ReadonlyMap<number, ColumnFate | null> }
  | { readonly kind: 'refused'; readonly why: string }

export interface RestoreOptions {
  readonly folders: readonly string[]
  readonly fit: (shape: string) => Fit
  /** Awaited when all files are checked and ready, before they count. */
  readonly prepare?: () => Promise<void>
  /** The sources are removed when all is done. */
  readonly move: boolean
}

export interface RestoreResult {
  /** Files that were taken in; of these some were written anew, because their columns have other ids. */
  readonly files: number
  readonly rewritten: number
  /** Files that are live already: nothing was to be done. */
  readonly known: number
  readonly bytes: number
}

export interface RestoreServices {
  readonly runtime: Pick<Runtime, 'disk' | 'random'>
  readonly manifest: Manifest
  readonly cache: BlockCache
  readonly indexCache: BlockCache
  readonly openFiles: OpenFiles
  readonly backups: Backups
  /** Makes the folder of a file of the table, durably. */
  readonly makeDirectory: (filePath: string) => Promise<void>
  /** Does something while nothing is flushed, truncated or dropped. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  readonly isKnown: (store: TableStore) => boolean
}

interface Source {
  readonly path: string
  readonly uid: Buffer
  readonly fileBytes: number
  readonly fit: Exclude<Fit, { kind: 'refused' }>
}

interface Found {
  readonly sources: readonly Source[]
  /** Of files that are live already. */
  readonly known: readonly string[]
}

/** Rows that are written before others may run: below a millisecond. */
const ROWS_PER_TURN = 256

/** Throws SnapshotError (a file that cannot be of this table) or CorruptionError (a damaged one); nothing was taken in then. */
export async function restoreTable(
  services: RestoreServices,
  store: TableStore,
  options: RestoreOptions,
): Promise<RestoreResult> {
  const { disk } = services.runtime
  const { sources, known } = await findSources(services, store, options)
  const taken: LiveFile[] = []
  const begun: string[] = []
  try {
    for (const source of sources) {
      if (!services.isKnown(store)) throw dropped()
      const number = services.manifest.takeFileNumber()
      const path = services.manifest.filePath(store.id, number)
      if (begun.length === 0) await services.makeDirectory(path)
      begun.push(path)
      const reader = await take(services, store, source, path)
      if (reader) taken.push({ number, reader })
    }
    if (taken.length > 0) await options.prepare?.()
    await publish(services, store, taken)
  } catch (error) {
    for (const { reader } of taken) await reader.close()
    // Whether the manifest names them is unknown when it failed: the next start removes what it does not name.
    if (!(error instanceof PublishError)) for (const path of begun) await disk.remove(path).catch(() => {})
    throw error instanceof PublishError ? error.cause : error
  }
  if (options.move) await removeSources(disk, [...sources.map(({ path }) => path), ...known])
  return {
    files: taken.length,
    rewritten: sources.filter(({ fit }) => fit.kind === 'mapped').length,
    known: known.length,
    bytes: taken.reduce((sum, { reader }) => sum + reader.fileBytes, 0),
  }
}

/** Puts one file under its new name, whole and synced; null: nothing of it is left. */
async function take(
  services: RestoreServices,
  store: TableStore,
  source: Source,
  path: string,
): Promise<TableReader | null> {
  const { disk } = services.runtime
  const { cache, indexCache, openFiles: files } = services
  if (source.fit.kind === 'mapped') {
    const isWritten = await rewrite(services, store, source, path)
    return isWritten ? openTableReader(disk, path, { cache, indexCache, files }) : null
  }
  const isCopy = await linkOrCopy(disk, source.path, path)
  const { uid, fileBytes } = source
  const reader = await openTableReader(disk, path, { cache, indexCache, files, expected: { uid, fileBytes } })
  try {
    if (isCopy) await reader.verify()
  } catch (error) {
    await reader.close()
    throw error
  }
  return reader
}

function dropped(): SnapshotError {
  return new SnapshotError('the table was dropped meanwhile')
}

class PublishError extends Error {}

async function publish(services: RestoreServices, store: TableStore, taken: readonly LiveFile[]): Promise<void> {
  if (taken.length === 0) return
  const folder = taken[0]!.reader.path
  await services.runtime.disk.syncDirectory(folder.slice(0, folder.lastIndexOf('/')))
  for (const { reader } of taken) await services.backups.add(store, reader.path)
  await services.inTurn(async () => {
    if (!services.isKnown(store)) throw dropped()
    const edits = taken.map(({ number, reader }): Edit => {
      const { minPosition, maxPosition } = reader.statistics
      const { uid } = reader.footer
      const file: TableFile = {
        number,
        level: 0,
        fileBytes: reader.fileBytes,
        uid,
        minPosition,
        maxPosition,
        repairedAtMs: 0,
      }
      return { kind: 'add', table: store.id, file }
    })
    try {
      await services.manifest.apply(edits)
    } catch (cause) {
      throw new PublishError('', { cause })
    }
    for (const file of taken) store.addFile(file)
  })
}

/** The files of the folders, each checked as a whole: a foreign or damaged one is found before anything is written. */
async function findSources(services: RestoreServices, store: TableStore, options: RestoreOptions): Promise<Found> {
  const { disk } = services.runtime
  const seen = new Set(store.files.map(({ reader }) => reader.footer.uid.toString('hex')))
  const sources: Source[] = []
  const known: string[] = []
  for (const folder of options.folders) {
    if (!(await disk.stat(folder))?.directory) throw new SnapshotError(`Directory ${folder} does not exist`)
    const manifest = await tryReadManifest(disk, folder)
    for (const name of await disk.list(folder)) {
      if (!name.endsWith('.sst')) continue
      const path = `${folder}/${name}`
      const reader = await openTableReader(disk, path, { cache: services.cache })
      try {
        const uid = Buffer.from(reader.footer.uid)
        const id = uid.toString('hex')
        if (seen.has(id)) {
          known.push(path)
          continue
        }
        seen.add(id)
        const fit = fitOf(reader, manifest, options)
        await reader.verify()
        sources.push({ path, uid, fileBytes: reader.fileBytes, fit })
      } finally {
        await reader.close()
      }
    }
  }
  return { sources, known }
}

/** The snapshot's own word goes first: it knows what was dropped after the file was written. */
function fitOf(reader: TableReader, manifest: SnapshotManifest | null, options: RestoreOptions): Source['fit'] {
  const { owner } = reader.statistics
  const isOfSnapshot = manifest !== null && (owner === null || owner.table === manifest.table)
  const shape = (isOfSnapshot && manifest.shape) || owner?.shape || ''
  const fit: Fit =
    shape === ''
      ? { kind: 'refused', why: `it does not say what its columns are, and no ${SNAPSHOT_MANIFEST} beside it does` }
      : options.fit(shape)
  if (fit.kind === 'refused') throw new SnapshotError(`${reader.path} cannot be taken in: ${fit.why}`)
  return fit
}

/** Under its new name by a hard link, or, where that cannot be, by a copy: true. */
async function linkOrCopy(disk: Disk, from: string, to: string): Promise<boolean> {
  let isCopy = false
  try {
    await disk.link(from, to)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK' && code !== 'ENOTSUP') throw error
    await copy(disk, from, to)
    isCopy = true
  }
  const file = await disk.open(to, 'read')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
  return isCopy
}

const COPY_BYTES = 1024 * 1024

async function copy(disk: Disk, from: string, to: string): Promise<void> {
  const source = await disk.open(from, 'read')
  try {
    const target = await disk.open(to, 'create')
    try {
      const chunk = Buffer.alloc(COPY_BYTES)
      for (let at = 0; ; ) {
        const read = await source.read(chunk, at)
        if (read === 0) break
        await target.write(chunk.subarray(0, read), at)
        at += read
      }
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** With the table's own column ids. False when nothing of it is left. */
async function rewrite(services: RestoreServices, store: TableStore, source: Source, path: string): Promise<boolean> {
  const { disk, random } = services.runtime
  const remapper = new RowRemapper(source.fit.kind === 'mapped' ? source.fit.columns : new Map())
  const reader = await openTableReader(disk, source.path, { cache: services.cache })
  try {
    const writer = await openTableWriter(disk, path, {
      uid: random.fill(Buffer.alloc(8)),
      partitionsEstimate: reader.statistics.partitions,
      owner: { table: store.id, shape: store.table.shape ?? '' },
      ...writerOptions(store.table.options),
    })
    try {
      let rows = 0
      const cursor = reader.cursor({ fillCache: false })
      for (await cursor.first(); cursor.valid; await cursor.next()) {
        const { key, value } = cursor
        const kind = key[10 + key.readUInt16BE(8)]
        const isRow = kind === EntryKind.ROW || kind === EntryKind.STATIC_ROW
        const remapped = isRow ? remapper.remap(value) : value
        if (remapped === null) continue
        await writer.add(key, remapped)
        if (++rows % ROWS_PER_TURN === 0) await store.pause()
      }
      if (rows > 0) await writer.finish()
      else await writer.abort()
      return rows > 0
    } catch (cause) {
      await writer.abort().catch(() => {})
      if (cause instanceof BytesError) throw new CorruptionError(source.path, 0, cause.message, { cause })
      throw cause
    }
  } finally {
    await reader.close()
  }
}

/** And what told of their table, unless other files came meanwhile. */
async function removeSources(disk: Disk, paths: readonly string[]): Promise<void> {
  for (const path of paths) await disk.remove(path)
  for (const folder of new Set(paths.map((path) => path.slice(0, path.lastIndexOf('/'))))) {
    const left = await disk.list(folder)
    if (!left.some((name) => name.endsWith('.sst')))
      for (const name of [SNAPSHOT_MANIFEST, SNAPSHOT_SCHEMA])
        if (left.includes(name)) await disk.remove(`${folder}/${name}`)
    await disk.syncDirectory(folder)
  }
}
