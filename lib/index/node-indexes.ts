/**
 * The secondary indexes of one node: stands before storage, adds to each write the entries of what it writes, and answers reads by an index.
 * Source: Cassandra's SecondaryIndexManager for what is asked of it.
 *
 * Entries are written blindly, in the commit-log record of the write that they belong to, and never deleted by later writes: whoever reads one
 * asks its row, and an entry that its row does not bear out is removed then. So a write reads nothing, and a crash leaves no entry out.
 * Always: every live row with a term has an entry under it once the index is built; a query of an index that is not built fails.
 */

import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { EntryKind, MutationReader, TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { readInt32 } from '../../storage/model/row.ts'
import { ReplicaFailure } from '../base/errors.ts'
import { uuidBytes } from '../base/uuid.ts'
import type { Clock, Log } from '../runtime/runtime.ts'
import type { Schema } from '../schema/keyspace.ts'
import type { TableSchema } from '../schema/table.ts'
import { buildIndexes } from './build.ts'
import { IndexClock, type TimeLedger } from './clock.ts'
import { EntryWriter } from './entry.ts'
import { readByIndex } from './read.ts'
import { Remover } from './remove.ts'
import { RowTerms, type StoredIndex, storedIndexes, type TermSink } from './table-indexes.ts'
import { checkVectors, cosineColumns } from './vectors.ts'

/** Storage, as indexes use it. */
export interface IndexStore {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  /** All at once: after a crash either all of them are truncated or none. */
  truncate(table: string, also: readonly string[], atMs?: number): Promise<void>
}

/** Which indexes are built, for ever. */
export interface IndexMarks extends TimeLedger {
  readonly built: ReadonlySet<string>
  setBuilt(id: string): Promise<void>
  /** Resolves when that is durable; never rejects. */
  forget(id: string): Promise<void>
}

export interface NodeIndexesOptions {
  readonly store: IndexStore
  readonly marks: IndexMarks
  readonly schema: () => Schema
  readonly clock: Pick<Clock, 'wallMicros' | 'soon'>
  readonly log: Log
  /** Entries of a range that are gathered and sorted; if there are more, all rows are looked at. Default 65536. */
  readonly gatheredMax?: number
}

/** What writes to a table need. */
interface IndexedTable {
  readonly schema: TableSchema
  readonly idBytes: Buffer
  readonly indexes: readonly StoredIndex[]
  readonly terms: RowTerms
  /** Ids of columns whose vectors must have a direction. */
  readonly cosine: ReadonlySet<number>
}

const GATHERED_MAX = 65_536
const SOURCE = 'lib/index/node-indexes.ts'
/** native_protocol_v5.spec §9. */
const REASON_INDEX_NOT_AVAILABLE = 0x0006
const NO_CLUSTERING = Buffer.alloc(0)

export class NodeIndexes implements TermSink {
  readonly #options: NodeIndexesOptions
  readonly #clock: IndexClock
  readonly #writer = new EntryWriter()
  readonly #mutation = new MutationReader()
  readonly #remover: Remover
  /** By the first four bytes of the table's id. */
  readonly #tables = new Map<number, IndexedTable[]>()
  /** By the index's id. */
  readonly #indexes = new Map<string, StoredIndex>()
  readonly #ids = new Map<string, Buffer>()
  readonly #building = new Map<string, Promise<void>>()
  #seen: Schema | null = null
  #closed = false
  /** Of the row whose terms are being taken. */
  #entries: Buffer[] = []
  #position: Buffer = NO_CLUSTERING
  #clustering: Buffer = NO_CLUSTERING
  #nowSeconds = 0

  constructor(options: NodeIndexesOptions) {
    this.#options = options
    this.#clock = new IndexClock(() => options.clock.wallMicros(), options.marks)
    this.#remover = new Remover({
      read: (command) => options.store.read(command),
      apply: (mutations) => options.store.apply(mutations),
      nowSeconds: () => this.#now(),
      writer: this.#writer,
      idOf: (index) => this.#ids.get(index.schema.id) ?? null,
      log: options.log,
    })
    this.refresh()
  }

  /** Takes notice of the schema as it is: begins to build what is new, forgets what is gone. */
  refresh(): void {
    const schema = this.#options.schema()
    if (schema === this.#seen) return
    this.#seen = schema
    const before = new Set(this.#indexes.keys())
    this.#tables.clear()
    this.#indexes.clear()
    const fresh: StoredIndex[] = []
    for (const keyspace of schema.keyspaces.values())
      for (const table of keyspace.tables.values()) {
        if (table.indexes.size === 0) continue
        const indexes = storedIndexes(table)
        this.#addTable(table, indexes)
        for (const index of indexes) {
          this.#indexes.set(index.schema.id, index)
          before.delete(index.schema.id)
          if (!this.isBuilt(index.schema.id) && !this.#building.has(index.schema.id)) fresh.push(index)
        }
      }
    for (const id of before) {
      this.#ids.delete(id)
      void this.#options.marks.forget(id)
    }
    if (fresh.length > 0) this.#build(fresh)
  }

  #addTable(table: TableSchema, indexes: readonly StoredIndex[]): void {
    const idBytes = uuidBytes(table.id)
    for (const { schema } of indexes) this.#ids.set(schema.id, uuidBytes(schema.id))
    const prefix = readInt32(idBytes, 0)
    const indexed = {
      schema: table,
      idBytes,
      indexes,
      terms: new RowTerms(table, indexes),
      cosine: cosineColumns(table),
    }
    this.#tables.set(prefix, [...(this.#tables.get(prefix) ?? []), indexed])
  }

  isBuilt(id: string): boolean {
    return this.#options.marks.built.has(id)
  }

  /** Ends when nothing is being built or removed. */
  async settle(): Promise<void> {
    while (this.#building.size > 0) await Promise.all(this.#building.values())
    await this.#remover.settle()
  }

  /** No build goes on; those that were cut short begin anew with the next start. */
  async close(): Promise<void> {
    this.#closed = true
    this.#remover.close()
    await this.settle()
  }

  apply(mutations: readonly Buffer[]): Promise<void> | undefined {
    if (this.#options.schema() !== this.#seen) this.refresh()
    if (this.#tables.size === 0) return this.#options.store.apply(mutations)
    let all: Buffer[] | null = null
    for (let i = 0; i < mutations.length; i++) {
      const table = this.#find(mutations[i]!)
      if (table === null) continue
      const entries = this.#entriesOf(table, mutations[i]!)
      if (entries.length === 0) continue
      all ??= [...mutations]
      for (const entry of entries) all.push(entry)
    }
    return this.#options.store.apply(all ?? mutations)
  }

  #find(mutation: Buffer): IndexedTable | null {
    const candidates = this.#tables.get(readInt32(mutation, 0))
    if (candidates === undefined) return null
    for (const candidate of candidates)
      if (candidate.idBytes.compare(mutation, 0, TABLE_ID_BYTES) === 0) return candidate
    return null
  }

  #entriesOf(table: IndexedTable, mutation: Buffer): Buffer[] {
    const reader = this.#mutation.reset(mutation)
    this.#begin(mutation.subarray(reader.positionStart, reader.positionEnd))
    const key = this.#position.subarray(10)
    while (reader.next()) {
      const isStatic = reader.kind === EntryKind.STATIC_ROW
      if (!isStatic && reader.kind !== EntryKind.ROW) continue
      this.#clustering = mutation.subarray(reader.boundStart, reader.boundEnd)
      const { valueStart, valueEnd } = reader
      if (table.cosine.size > 0) checkVectors(mutation, valueStart, valueEnd, table.cosine)
      const place = { key, clustering: this.#clustering, isStatic }
      table.terms.written(mutation, valueStart, valueEnd, place, this)
    }
    return this.#entries
  }

  #begin(position: Buffer): void {
    this.#entries = []
    this.#position = position
    this.#nowSeconds = this.#now()
  }

  /** Makes the entry of a term that is met. */
  term(index: StoredIndex, term: Buffer, expiresAt: number): void {
    const id = this.#ids.get(index.schema.id)!
    const clustering = index.ofPartition ? null : this.#clustering
    const timestamp = this.#clock.next()
    this.#entries.push(this.#writer.put(id, term, this.#position, clustering, timestamp, expiresAt, this.#nowSeconds))
  }

  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    const { store, schema } = this.#options
    if (command.index === undefined) return store.read(command)
    if (schema() !== this.#seen) this.refresh()
    const index = this.#indexes.get(command.index.id)
    if (index === undefined || !this.isBuilt(command.index.id))
      throw new ReplicaFailure('INDEX_NOT_AVAILABLE', REASON_INDEX_NOT_AVAILABLE, 'the index is not built')
    return readByIndex(
      (read) => store.read(read),
      index,
      command,
      this.#options.gatheredMax ?? GATHERED_MAX,
      (entries) => this.#remover.add(index, entries),
    )
  }

  /** `also`: tables that go with it. */
  async truncate(tableId: string, also: readonly string[] = [], atMs?: number): Promise<void> {
    this.refresh()
    const indexes = [...this.#indexes.values()].filter(({ table }) => table.id === tableId)
    const ids = indexes.map(({ schema }) => schema.id)
    await this.#options.store.truncate(tableId, [...ids, ...also], atMs)
  }

  /** Keyspaces and names of the indexes that can be asked. */
  builtIndexes(): { keyspace: string; name: string }[] {
    this.refresh()
    const built: { keyspace: string; name: string }[] = []
    for (const { schema, table } of this.#indexes.values())
      if (this.isBuilt(schema.id)) built.push({ keyspace: table.keyspace, name: schema.name })
    return built
  }

  /** The table's indexes are asked no more, for ever, until they are built again: its files are about to change by other means than writes. */
  async invalidate(tableId: string): Promise<void> {
    this.refresh()
    for (const { schema, table } of [...this.#indexes.values()])
      if (table.id === tableId) await this.#options.marks.forget(schema.id)
  }

  /** Builds what of a table's indexes is not built; resolves when that has ended. */
  async buildAgain(tableId: string): Promise<void> {
    const indexes = [...this.#indexes.values()].filter(
      ({ schema, table }) => table.id === tableId && !this.isBuilt(schema.id) && !this.#building.has(schema.id),
    )
    this.#build(indexes)
    await Promise.all(indexes.map(({ schema }) => this.#building.get(schema.id)))
  }

  /** Those of one table in one go. */
  #build(indexes: readonly StoredIndex[]): void {
    const byTable = new Map<string, StoredIndex[]>()
    for (const index of indexes) byTable.set(index.table.id, [...(byTable.get(index.table.id) ?? []), index])
    for (const group of byTable.values()) {
      const building = this.#buildAndMark(group).finally(() => {
        for (const { schema } of group) this.#building.delete(schema.id)
      })
      for (const { schema } of group) this.#building.set(schema.id, building)
    }
  }

  async #buildAndMark(indexes: readonly StoredIndex[]): Promise<void> {
    const { log, marks } = this.#options
    const names = indexes.map(({ schema }) => schema.name).join(', ')
    try {
      const rows = await this.#run(indexes)
      if (rows === null) return
      for (const { schema } of indexes) if (this.#indexes.has(schema.id)) await marks.setBuilt(schema.id)
      log.info(SOURCE, `Index build of ${names} complete: ${rows} rows`)
    } catch (cause) {
      log.error(SOURCE, `Indexes ${names} are not built; the next start tries again`, cause)
    }
  }

  /** How many rows were looked at; null: cut short. */
  #run(indexes: readonly StoredIndex[]): Promise<number | null> {
    const { store, clock } = this.#options
    return buildIndexes(indexes, {
      read: (command) => store.read(command),
      apply: (mutations) => store.apply(mutations),
      nowSeconds: () => this.#now(),
      pause: () => new Promise((resolve) => clock.soon(resolve)),
      goesOn: () => !this.#closed && indexes.some(({ schema }) => this.#indexes.has(schema.id)),
      entriesOf: (position, rows) => this.#builtEntries(indexes, position, rows),
    })
  }

  #builtEntries(
    indexes: readonly StoredIndex[],
    position: Buffer,
    rows: readonly { readonly clustering: Buffer | null; readonly row: Buffer }[],
  ): Buffer[] {
    const terms = new RowTerms(indexes[0]!.table, indexes)
    this.#begin(position)
    const key = position.subarray(10)
    for (const { clustering, row } of rows) {
      this.#clustering = clustering ?? NO_CLUSTERING
      terms.live(row, { key, clustering: this.#clustering, isStatic: clustering === null }, this.#nowSeconds, this)
    }
    return this.#entries
  }

  #now(): number {
    return Math.floor(this.#options.clock.wallMicros() / 1_000_000)
  }
}
