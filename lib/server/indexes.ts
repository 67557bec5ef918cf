/**
 * The node's secondary indexes, opened: what is known of them for ever lies in a table of the engine's own, which no CQL name reaches.
 * Partition key: text. `built <id>`: that index (or view, lib/server/views.ts) is built. `reserved`: column 0, a bigint, the time (µs) below which timestamps of entries
 * were taken.
 */

import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { uuidBytes } from '../base/uuid.ts'
import { type IndexMarks, type IndexStore, NodeIndexes } from '../index/node-indexes.ts'
import type { Clock, Log } from '../runtime/runtime.ts'
import type { Schema, SchemaChange } from '../schema/keyspace.ts'
import { systemTableId } from '../schema/system-tables.ts'
import { encodePosition } from '../types/partition-key.ts'

const INDEX_MARKS_ID = systemTableId('system', 'polyxena_indexes')

const MARKS_TABLE: Omit<StoredTable, 'name'> = {
  keyspace: 'system',
  durableWrites: true,
  hasClustering: false,
  options: { ...DEFAULT_TABLE_OPTIONS, gcGraceSeconds: 0 },
}

const BUILT = 'built '
const RESERVED = 'reserved'
const COLUMN = 0

export type IndexesStore = IndexStore & MarksStore

export interface MarksStore {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  registerTable(id: string, table: StoredTable): Promise<void>
  flush(id: string): Promise<void>
}

export interface OpenIndexesOptions {
  readonly store: IndexesStore
  readonly metadata: {
    readonly current: Schema
    listen(listener: (changes: readonly SchemaChange[], schema: Schema) => void): Disposable
  }
  readonly clock: Clock
  readonly log: Log
  readonly gatheredMax?: number
}

/** Reads what is known, and begins to build what is not built. */
export async function openIndexes(options: OpenIndexesOptions): Promise<NodeIndexes> {
  const { store, metadata, clock } = options
  const table = { table: INDEX_MARKS_ID, name: 'polyxena_indexes' }
  const marks = await StoredMarks.open(store, table, () => clock.wallMicros())
  const indexes = new NodeIndexes({ ...options, marks, schema: () => metadata.current })
  metadata.listen(() => indexes.refresh())
  return indexes
}

export class StoredMarks implements IndexMarks {
  readonly #store: MarksStore
  readonly #table: string
  readonly #nowMicros: () => number
  readonly #mutation = new MutationWriter()
  readonly #built = new Set<string>()
  #last = 0
  reserved = 0

  constructor(store: MarksStore, table: string, nowMicros: () => number) {
    this.#store = store
    this.#table = table
    this.#nowMicros = nowMicros
  }

  /** Of the system table `name`, whose id is `table`. */
  static async open(
    store: MarksStore,
    { table, name }: { readonly table: string; readonly name: string },
    nowMicros: () => number,
  ): Promise<StoredMarks> {
    await store.registerTable(table, { ...MARKS_TABLE, name })
    const marks = new StoredMarks(store, table, nowMicros)
    const result: ReadResult = await store.read(everything(table, Math.floor(nowMicros() / 1_000_000)))
    const reader = new RowReader()
    for (const { key, rows } of result.partitions) {
      const mark = key.toString('utf8')
      if (mark.startsWith(BUILT)) marks.#built.add(mark.slice(BUILT.length))
      if (mark !== RESERVED) continue
      reader.reset(rows[0]!.row)
      while (reader.next()) marks.reserved = Number(reader.buffer.readBigInt64BE(reader.valueStart))
    }
    return marks
  }

  get built(): ReadonlySet<string> {
    return this.#built
  }

  async setBuilt(id: string): Promise<void> {
    this.#built.add(id)
    this.#begin(BUILT + id)
    const { high, low } = this.#time()
    this.#mutation.beginRow(Buffer.alloc(0))
    this.#mutation.row.liveness(high, low, 0, 0)
    this.#mutation.endRow()
    const mark = Buffer.from(this.#mutation.finish())
    // A commit log may be told to promise little: the mark must not outlive the entries.
    await this.#store.flush(id)
    await this.#store.apply([mark])
  }

  async forget(id: string): Promise<void> {
    if (!this.#built.delete(id)) return
    this.#begin(BUILT + id)
    const { high, low } = this.#time()
    this.#mutation.partitionDeletion(high, low, Math.floor(this.#nowMicros() / 1_000_000))
    await this.#apply()
  }

  reserve(untilMicros: number): void {
    this.reserved = untilMicros
    this.#begin(RESERVED)
    const { high, low } = halves(untilMicros)
    const value = Buffer.alloc(8)
    value.writeBigInt64BE(BigInt(untilMicros))
    this.#mutation.beginRow(Buffer.alloc(0))
    this.#mutation.row.cell(COLUMN, high, low, value)
    this.#mutation.endRow()
    void this.#apply()
  }

  /** Whether it lasts is told to nobody: what comes after it in the log lasts only if it does. A log that takes nothing any more throws at once. */
  async #apply(): Promise<void> {
    try {
      await (this.#store.apply([this.#mutation.finish()]) ?? this.#store.flush(this.#table))
    } catch {}
  }

  /** Ids are never used twice, so what comes later need only be later within this run. */
  #time(): { high: number; low: number } {
    this.#last = Math.max(this.#last + 1, this.#nowMicros())
    return halves(this.#last)
  }

  #begin(name: string): void {
    const key = Buffer.from(name)
    const token = new Int32Array(2)
    encodePosition(key, token)
    this.#mutation.begin(uuidBytes(this.#table), token[0]!, token[1]!, key)
  }
}

function halves(micros: number): { high: number; low: number } {
  return { high: Math.floor(micros / 2 ** 32), low: micros >>> 0 }
}

function everything(table: string, nowSeconds: number): ReadCommand {
  return {
    ...ALL_ROWS,
    table,
    target: { kind: 'range', start: null, end: null },
    nowSeconds,
  }
}
