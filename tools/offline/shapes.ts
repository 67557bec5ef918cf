/**
 * What the columns of a data directory's tables are, without the node: from the metadata log's rows (in its SSTables and the commit log), from snapshots'
 * manifests, from what SSTables say of themselves.
 */
import { uuidBytes } from '../../lib/base/uuid.ts'
import type { Disk } from '../../lib/runtime/runtime.ts'
import type { SchemaRecord } from '../../lib/schema/records.ts'
import { parseShape, shapeOf, type TableShape } from '../../lib/schema/shape.ts'
import { applyRecords } from '../../lib/schema/state.ts'
import { createSystemSchema } from '../../lib/schema/system-tables.ts'
import { METADATA_TABLE_ID } from '../../lib/server/metadata-rows.ts'
import { decodeEntry } from '../../lib/server/metadata-state.ts'
import { BlockCache } from '../../storage/cache.ts'
import { listSegments, replaySegment, SegmentReader } from '../../storage/commitlog/replay.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { readLogRecord } from '../../storage/log-record.ts'
import { EntryKind, MutationReader } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { tryReadManifest } from '../../storage/snapshot-manifest.ts'
import { BlockCursor } from '../../storage/sstable/block.ts'
import { openTableReader } from '../../storage/sstable/reader.ts'
import { openBlockScan } from './blocks.ts'

/** By table id. */
export type Shapes = Map<string, TableShape>

/** A change of the schema at an epoch; of one epoch a snapshot's parts come first. */
interface Payload {
  readonly epoch: bigint
  readonly text: string
}

export async function readShapes(disk: Disk, directory: string): Promise<Shapes> {
  const payloads: Payload[] = []
  const table = `${directory}/tables/system/polyxena_metadata-${METADATA_TABLE_ID.replaceAll('-', '')}`
  if (await disk.stat(table))
    for (const name of await disk.list(table))
      if (name.endsWith('.sst')) await readPayloads(disk, `${table}/${name}`, payloads)
  await readLoggedPayloads(disk, `${directory}/commitlog`, payloads)
  payloads.sort((a, b) => (a.epoch < b.epoch ? -1 : a.epoch > b.epoch ? 1 : 0))
  const shapes: Shapes = new Map()
  const records = payloads.flatMap(({ text }) => decodeEntry(text).schema ?? [])
  // Dropped tables are asked for too: their writes are still in the log.
  const kept = records.filter(({ kind }) => kind === 'keyspace' || kind === 'type' || kind === 'table')
  for (const { id, shape } of tablesOf(kept)) shapes.set(id, shape)
  return shapes
}

/** One table after the other, so that one that cannot be made any more (its type is gone) hides no other. */
function tablesOf(records: readonly SchemaRecord[]): { id: string; shape: TableShape }[] {
  const found: { id: string; shape: TableShape }[] = []
  const around = records.filter(({ kind }) => kind !== 'table')
  const builtIn = createSystemSchema()
  for (const record of records) {
    if (record.kind !== 'table') continue
    const { id } = record.table
    try {
      const schema = applyRecords(builtIn, [...around, record], 1)
      const table = schema.tablesById.get(id)
      if (table) found.push({ id, shape: shapeOf(table) })
    } catch {
      // Its columns are shown as bytes.
    }
  }
  return found
}

async function readPayloads(disk: Disk, path: string, payloads: Payload[]): Promise<void> {
  const scan = await openBlockScan(disk, path)
  const cursor = new BlockCursor()
  for await (const { block } of scan.blocks()) {
    cursor.reset(block)
    for (cursor.first(); cursor.valid; cursor.next()) {
      const { key, value } = cursor
      const end = 10 + key.readUInt16BE(8)
      if (key[end] === EntryKind.ROW) takePayload(key.subarray(10, end), key.subarray(end + 1), value, payloads)
    }
  }
  await scan.close()
}

async function readLoggedPayloads(disk: Disk, directory: string, payloads: Payload[]): Promise<void> {
  if (!(await disk.stat(directory))) return
  const own = uuidBytes(METADATA_TABLE_ID)
  const mutation = new MutationReader()
  const reader = new SegmentReader(disk)
  for (const file of await listSegments(disk, directory)) {
    const handler = (payload: Buffer): null => {
      for (const bytes of readLogRecord(payload)) {
        mutation.reset(bytes)
        if (!bytes.subarray(mutation.tableStart, mutation.tableStart + 16).equals(own)) continue
        const key = bytes.subarray(mutation.positionStart + 10, mutation.positionEnd)
        while (mutation.next())
          if (mutation.kind === EntryKind.ROW)
            takePayload(
              key,
              bytes.subarray(mutation.boundStart, mutation.boundEnd),
              bytes.subarray(mutation.valueStart, mutation.valueEnd),
              payloads,
            )
      }
      return null
    }
    try {
      await replaySegment(await reader.load(file), file, { last: true, handler })
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error
    }
  }
}

function takePayload(key: Buffer, clustering: Buffer, row: Buffer, payloads: Payload[]): void {
  const partition = key.toString()
  if (partition !== 'log' && partition !== 'snapshot') return
  const reader = new RowReader().reset(Buffer.from(row))
  while (reader.next()) {
    if (reader.columnId !== 0 || reader.isTombstone) continue
    const text = reader.buffer.toString('utf8', reader.valueStart, reader.valueEnd)
    // The epoch is a bigint that sorts: its sign bit is inverted.
    payloads.push({ epoch: clustering.readBigUInt64BE(1), text })
  }
}

/** Of one SSTable: its own word, that of the snapshot it lies in, or of another file beside it. */
export async function shapeOfFile(disk: Disk, path: string): Promise<TableShape | null> {
  const folder = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.'
  const manifest = await tryReadManifest(disk, folder)
  if (manifest?.shape) return parseShape(manifest.shape)
  const names = (await disk.list(folder)).filter((name) => name.endsWith('.sst'))
  for (const candidate of [path, ...names.map((name) => `${folder}/${name}`)]) {
    const shape = await ownShape(disk, candidate)
    if (shape !== null) return shape
  }
  return null
}

async function ownShape(disk: Disk, path: string): Promise<TableShape | null> {
  try {
    const reader = await openTableReader(disk, path, { cache: new BlockCache(0) })
    const text = reader.statistics.owner?.shape ?? ''
    await reader.close()
    return text === '' ? null : parseShape(text)
  } catch (error) {
    if (error instanceof CorruptionError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
