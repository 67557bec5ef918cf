/**
 * The schema's door: changes one at a time, each a durable entry of a log before anybody sees it, replayed when the node starts.
 * The log is a table of its own in the node's storage, which no CQL name reaches:
 *
 *   partition 'log'       (epoch, 0)    → the records of one change
 *   partition 'snapshot'  (epoch, part) → the whole schema at that epoch, cut into parts
 *   partition 'head'      (0, 0)        → which snapshot counts, and how many parts it has
 *
 * Always: the schema is the snapshot of 'head' and the entries after it, in their order; timestamps are epochs, so no clock is trusted.
 * A change's new tables are known to storage before its entry is written, dropped ones are dropped after it.
 */

import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { assert } from '../base/assert.ts'
import { RequestError } from '../base/errors.ts'
import { uuidBytes } from '../base/uuid.ts'
import type { SchemaDoor } from '../cql/statement.ts'
import type { KeyspaceSchema, Schema, SchemaChange } from '../schema/keyspace.ts'
import { decodeRecords, encodeRecords, type SchemaRecord } from '../schema/records.ts'
import { encodeShape, shapeOf } from '../schema/shape.ts'
import { applyRecords, snapshotRecords } from '../schema/state.ts'
import { createSystemSchema, systemTableId } from '../schema/system-tables.ts'
import type { IndexSchema, TableSchema } from '../schema/table.ts'
import { NATIVE } from '../types/names.ts'
import { decodeClustering, encodeClustering } from '../types/ordered.ts'
import { encodePosition } from '../types/partition-key.ts'
import { storedOptions } from './table-options.ts'

export const METADATA_TABLE_ID = systemTableId('system', 'polyxena_metadata')

/** Entries after which a snapshot is made, or as many as there are tables: making and replaying stay in proportion to the schema. */
const SNAPSHOT_EVERY = 256
/** Bytes of a snapshot's part: far below what one mutation may have. */
const PART_BYTES_MAX = 1024 * 1024

const METADATA_TABLE: StoredTable = {
  keyspace: 'system',
  name: 'polyxena_metadata',
  durableWrites: true,
  isEssential: true,
  hasClustering: true,
  options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0 },
}

const CLUSTERING = [
  { type: NATIVE.bigint, reversed: false },
  { type: NATIVE.int, reversed: false },
]
const PAYLOAD_COLUMN = 0

/** What it needs of storage. */
export interface MetadataStore {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  /** Ids of the tables that it has data of, or may have. */
  readonly tableIds: readonly string[]
  /** Many at once cost what one costs. */
  registerTable(id: string, table: StoredTable): Promise<void>
  /** What must be there before tables are dropped; rejects when they must not be. */
  prepareDrop(ids: readonly string[]): Promise<void>
  dropTable(id: string): Promise<void>
  /** What was applied to the table is durable when it resolves. */
  flush(id: string): Promise<void>
}

export interface MetadataLogOptions {
  readonly store: MetadataStore
  /** Seconds since 1970: when deletions of old entries were made. */
  readonly nowSeconds: () => number
  readonly snapshotEvery?: number
}

export type SchemaListener = (change: SchemaChange, schema: Schema) => void

/** Reads the log, makes all stored tables known to storage, and stands ready for changes. */
export async function openMetadataLog(options: MetadataLogOptions): Promise<MetadataLog> {
  const { store } = options
  await store.registerTable(METADATA_TABLE_ID, METADATA_TABLE)
  const builtIn = createSystemSchema()
  const head = await readHead(store)
  const entries = await readPartition(store, 'log', head ? head.epoch + 1 : 0)
  const records = head ? await readSnapshot(store, head) : []
  for (const entry of entries) records.push(...decodeRecords(entry.payload))
  const epoch = entries.at(-1)?.epoch ?? head?.epoch ?? 0
  // All at once: one by one, each would copy the schema.
  const schema = epoch === 0 ? builtIn : applyRecords(builtIn, records, epoch)
  await registerTables(store, null, schema)
  await dropLeftovers(store, records, schema)
  return new MetadataLog(options, builtIn, schema, entries.length)
}

export class MetadataLog implements SchemaDoor {
  readonly #store: MetadataStore
  readonly #nowSeconds: () => number
  readonly #snapshotEvery: number
  readonly #builtIn: Schema
  readonly #listeners = new Set<SchemaListener>()
  readonly #writer = new LogWriter()
  #current: Schema
  #entries: number
  #tail: Promise<unknown> = Promise.resolve()
  /** After a write of the log failed nobody knows what is in it. */
  #failed = false

  /** Use openMetadataLog. */
  constructor(options: MetadataLogOptions, builtIn: Schema, schema: Schema, entries: number) {
    this.#store = options.store
    this.#nowSeconds = options.nowSeconds
    this.#snapshotEvery = options.snapshotEvery ?? SNAPSHOT_EVERY
    this.#builtIn = builtIn
    this.#current = schema
    this.#entries = entries
  }

  get current(): Schema {
    return this.#current
  }

  /** Calls the listener after each change, when it is durable and visible. */
  listen(listener: SchemaListener): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) }
  }

  change(
    apply: (schema: Schema) => { schema: Schema; change: SchemaChange | null; payload: string },
  ): Promise<SchemaChange | null> {
    const done = this.#tail.then(() => this.#perform(apply))
    this.#tail = done.then(
      () => this.#snapshotIfDue(),
      () => undefined,
    )
    return done
  }

  /** Resolves when no change is on its way. */
  async settle(): Promise<void> {
    await this.#tail
  }

  async #perform(
    apply: (schema: Schema) => { schema: Schema; change: SchemaChange | null; payload: string },
  ): Promise<SchemaChange | null> {
    if (this.#failed) throw new RequestError('SERVER_ERROR', 'The schema cannot be changed until the node is restarted')
    const before = this.#current
    const { schema, change, payload } = apply(before)
    if (change === null) return null
    assert(schema.epoch === before.epoch + 1, 'a change is one epoch')
    const dropped = droppedTables(before, schema)
    await this.#prepareDrop(dropped)
    await registerTables(this.#store, before, schema)
    await this.#write([this.#writer.entry(schema.epoch, payload)])
    this.#current = schema
    this.#entries += 1
    for (const id of [...dropped, ...droppedIndexes(before, schema)]) await this.#store.dropTable(id)
    for (const listener of this.#listeners) listener(change, schema)
    return change
  }

  async #prepareDrop(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    try {
      await this.#store.prepareDrop(ids)
    } catch (cause) {
      // Without its snapshot the data would be gone for good.
      const why =
        'Nothing was dropped: the snapshot that comes first failed, see the log (auto_snapshot: false drops without)'
      throw Object.assign(new RequestError('SERVER_ERROR', why), { cause })
    }
  }

  /** The change that made it due is done; a failure shows with the next one. */
  async #snapshotIfDue(): Promise<void> {
    const due = Math.max(this.#snapshotEvery, this.#current.tablesById.size - this.#builtIn.tablesById.size)
    if (this.#entries < due || this.#failed) return
    await this.#snapshot().catch(() => undefined)
  }

  async #write(mutations: readonly Buffer[]): Promise<void> {
    try {
      const durable = this.#store.apply(mutations)
      // The commit log may be told to promise less; a schema that is lost takes its tables with it.
      await (durable ?? this.#store.flush(METADATA_TABLE_ID))
    } catch (cause) {
      this.#failed = true
      throw cause
    }
  }

  /** Parts first, then the head, which makes them count and deletes what they replace, all at once. */
  async #snapshot(): Promise<void> {
    const { epoch } = this.#current
    const parts = cut(snapshotRecords(this.#current, this.#builtIn))
    for (const [index, part] of parts.entries()) await this.#write([this.#writer.part(epoch, index, part)])
    const seconds = this.#nowSeconds()
    await this.#write([
      this.#writer.head(epoch, parts.length),
      this.#writer.forget('log', epoch + 1, epoch, seconds),
      this.#writer.forget('snapshot', epoch, epoch, seconds),
    ])
    this.#entries = 0
  }
}

function cut(records: readonly SchemaRecord[]): string[] {
  const parts: string[] = []
  let part: SchemaRecord[] = []
  let bytes = 0
  for (const record of records) {
    const size = JSON.stringify(record).length
    if (part.length > 0 && bytes + size > PART_BYTES_MAX) {
      parts.push(encodeRecords(part))
      part = []
      bytes = 0
    }
    part.push(record)
    bytes += size
  }
  parts.push(encodeRecords(part))
  return parts
}

type Partition = 'log' | 'snapshot' | 'head'

function clusteringOf(epoch: number, part: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(epoch))
  const partBytes = Buffer.alloc(4)
  partBytes.writeInt32BE(part)
  return encodeClustering(CLUSTERING, [bytes, partBytes])
}

/** Makes the log's mutations; each is a copy. */
class LogWriter {
  readonly #mutation = new MutationWriter()
  readonly #table = uuidBytes(METADATA_TABLE_ID)
  readonly #token = new Int32Array(2)

  entry(epoch: number, payload: string): Buffer {
    return this.#row('log', epoch, 0, epoch, payload)
  }

  part(epoch: number, part: number, payload: string): Buffer {
    return this.#row('snapshot', epoch, part, epoch, payload)
  }

  head(epoch: number, parts: number): Buffer {
    return this.#row('head', 0, 0, epoch, JSON.stringify({ epoch, parts }))
  }

  /** Deletes the partition's rows of epochs below `end`. */
  forget(partition: Partition, end: number, timestamp: number, nowSeconds: number): Buffer {
    this.#begin(partition)
    this.#mutation.rangeTombstone(
      Buffer.alloc(0),
      clusteringOf(end, 0),
      Math.floor(timestamp / 2 ** 32),
      timestamp | 0,
      nowSeconds,
    )
    return Buffer.from(this.#mutation.finish())
  }

  #begin(partition: Partition): void {
    const key = Buffer.from(partition)
    encodePosition(key, this.#token)
    this.#mutation.begin(this.#table, this.#token[0]!, this.#token[1]!, key)
  }

  #row(partition: Partition, epoch: number, part: number, timestamp: number, payload: string): Buffer {
    const high = Math.floor(timestamp / 2 ** 32)
    const low = timestamp | 0
    this.#begin(partition)
    this.#mutation.beginRow(clusteringOf(epoch, part))
    this.#mutation.liveness(high, low, 0, 0)
    this.#mutation.cell(PAYLOAD_COLUMN, high, low, Buffer.from(payload))
    this.#mutation.endRow()
    return Buffer.from(this.#mutation.finish())
  }
}

interface Entry {
  readonly epoch: number
  readonly part: number
  readonly payload: string
}

/** The partition's rows from an epoch on, in order. */
async function readPartition(store: MetadataStore, partition: Partition, from: number): Promise<Entry[]> {
  const result = await store.read({
    table: METADATA_TABLE_ID,
    target: { kind: 'partition', position: encodePosition(Buffer.from(partition), new Int32Array(2)) },
    slices: [{ start: clusteringOf(from, 0), end: Buffer.from([0xff]) }],
    reversed: false,
    wantStatic: false,
    staticCounts: false,
    limit: Number.POSITIVE_INFINITY,
    perPartitionLimit: Number.POSITIVE_INFINITY,
    byteLimit: Number.POSITIVE_INFINITY,
    nowSeconds: 0,
    after: null,
  })
  const entries: Entry[] = []
  const reader = new RowReader()
  for (const { rows } of result.partitions)
    for (const { clustering, row } of rows) {
      const [epoch, part] = decodeClustering(CLUSTERING, clustering)
      reader.reset(row)
      while (reader.next())
        if (reader.columnId === PAYLOAD_COLUMN)
          entries.push({
            epoch: Number(epoch!.readBigInt64BE()),
            part: part!.readInt32BE(),
            payload: reader.buffer.toString('utf8', reader.valueStart, reader.valueEnd),
          })
    }
  return entries
}

interface Head {
  readonly epoch: number
  readonly parts: number
}

async function readHead(store: MetadataStore): Promise<Head | null> {
  const [entry] = await readPartition(store, 'head', 0)
  return entry ? (JSON.parse(entry.payload) as Head) : null
}

async function readSnapshot(store: MetadataStore, head: Head): Promise<SchemaRecord[]> {
  const parts = (await readPartition(store, 'snapshot', head.epoch)).filter((part) => part.epoch === head.epoch)
  assert(parts.length === head.parts, `${head.parts} parts of the schema's snapshot, found ${parts.length}`)
  return parts.flatMap((part) => decodeRecords(part.payload))
}

/** Makes known what is new or changed since `before` (null: everything). */
async function registerTables(store: MetadataStore, before: Schema | null, after: Schema): Promise<void> {
  const done: Promise<void>[] = []
  for (const keyspace of after.keyspaces.values()) {
    const earlier = before?.keyspaces.get(keyspace.name)
    if (earlier === keyspace) continue
    for (const table of keyspace.tables.values())
      if (!table.isVirtual && (!earlier || mustRegister(earlier, keyspace, table)))
        done.push(
          store.registerTable(table.id, storedTable(keyspace, table)),
          ...Array.from(table.indexes.values(), (index) => store.registerTable(index.id, storedIndex(table, index))),
        )
  }
  await Promise.all(done)
}

/** Data of tables that the log says were dropped: the node went down before storage had done it. */
async function dropLeftovers(store: MetadataStore, records: readonly SchemaRecord[], schema: Schema): Promise<void> {
  const stored = new Set(store.tableIds)
  const indexes = indexIds(schema)
  for (const record of records) {
    if (record.kind !== 'table') continue
    const { id } = record.table
    const gone = schema.tablesById.has(id) ? [] : [id]
    for (const index of record.table.indexes) if (!indexes.has(index.id)) gone.push(index.id)
    for (const each of gone) if (stored.delete(each)) await store.dropTable(each)
  }
}

function mustRegister(before: KeyspaceSchema, after: KeyspaceSchema, table: TableSchema): boolean {
  return before.durableWrites !== after.durableWrites || before.tables.get(table.name) !== table
}

function storedTable(keyspace: KeyspaceSchema, table: TableSchema): StoredTable {
  return {
    keyspace: keyspace.name,
    name: table.name,
    durableWrites: keyspace.durableWrites,
    hasClustering: table.clustering.length > 0,
    shape: encodeShape(shapeOf(table)),
    options: storedOptions(table.options),
  }
}

/** An index's entries are the node's own, and are kept whatever becomes of the keyspace's writes: what is missing in them would not be found. */
function storedIndex(table: TableSchema, index: IndexSchema): StoredTable {
  return {
    keyspace: table.keyspace,
    name: `${table.name}.${index.name}`,
    durableWrites: true,
    hasClustering: true,
    options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0, allowAutoSnapshot: false, incrementalBackups: false },
  }
}

function indexIds(schema: Schema): Set<string> {
  const ids = new Set<string>()
  for (const table of schema.tablesById.values()) for (const { id } of table.indexes.values()) ids.add(id)
  return ids
}

function droppedIndexes(before: Schema, after: Schema): string[] {
  const kept = indexIds(after)
  return [...indexIds(before)].filter((id) => !kept.has(id))
}

function droppedTables(before: Schema, after: Schema): string[] {
  return [...before.tablesById].filter(([id, table]) => !table.isVirtual && !after.tablesById.has(id)).map(([id]) => id)
}
