/**
 * One node's data behind one door. Knows tables by their ids, mutations and rows as bytes; neither CQL nor the ring.
 * Always: what apply() took is visible to every read that begins later; a promise that it gave resolves only when the write survives
 * what the commit log's mode promises.
 */
import { assert } from '../lib/base/assert.ts'
import type { Runtime } from '../lib/runtime/runtime.ts'
import type { ReadCommand, ReadResult } from './model/command.ts'
import { LastWriteWins } from './model/merge.ts'
import { MutationReader } from './model/mutation.ts'
import { readInt32 } from './model/row.ts'
import { type StoredTable, TableStore } from './table-store.ts'

export type { StoredTable }

export interface StoreOptions {
  readonly runtime: Runtime
  /** Null: everything is in memory only. */
  readonly directory: string | null
  readonly settings?: StoreSettings
}

export interface StoreSettings {
  /** Memory of all memtables, in bytes; beyond it the largest is flushed. Default 64 MiB. */
  readonly memtableBytesMax?: number
}

export interface StoreStatistics {
  readonly tables: number
  readonly memtableBytes: number
  readonly memtableRecords: number
  readonly writes: number
  readonly reads: number
}

export async function openStore(options: StoreOptions): Promise<Store> {
  return new Store(options)
}

export class Store {
  readonly #runtime: Runtime
  readonly #resolution = new LastWriteWins()
  readonly #tables = new Map<string, TableStore>()
  /** By the first four bytes of their ids: a look-up without making a string. */
  readonly #byPrefix = new Map<number, TableStore[]>()
  readonly #mutation = new MutationReader()
  #writes = 0
  #reads = 0

  /** Use openStore. */
  constructor(options: StoreOptions) {
    this.#runtime = options.runtime
  }

  /** Makes a table known, or changes what is known of it. It is durable when the promise resolves: write to the table only then. */
  async registerTable(id: string, table: StoredTable): Promise<void> {
    const known = this.#tables.get(id)
    if (known) {
      known.table = table
      return
    }
    const made = new TableStore(id, table, { clock: this.#runtime.clock, resolution: this.#resolution })
    this.#tables.set(id, made)
    const prefix = readInt32(made.idBytes, 0)
    const others = this.#byPrefix.get(prefix)
    if (others) others.push(made)
    else this.#byPrefix.set(prefix, [made])
  }

  async dropTable(id: string): Promise<void> {
    const table = this.#tables.get(id)
    if (!table) return
    this.#tables.delete(id)
    const prefix = readInt32(table.idBytes, 0)
    const others = this.#byPrefix.get(prefix)!.filter((other) => other !== table)
    if (others.length > 0) this.#byPrefix.set(prefix, others)
    else this.#byPrefix.delete(prefix)
  }

  async truncate(id: string): Promise<void> {
    this.#tables.get(id)?.clear()
  }

  /**
   * Takes mutations that were made by a MutationWriter or passed validateMutation: all in one commit-log record, visible at once. Copies them.
   * Undefined: as durable as the mode asks already. Those of unknown tables (dropped since) are passed over.
   */
  apply(mutations: readonly Buffer[]): Promise<void> | undefined {
    const reader = this.#mutation
    for (let i = 0; i < mutations.length; i++) {
      reader.reset(mutations[i]!)
      const table = this.#find(reader.buffer, reader.tableStart)
      if (table === null) continue
      table.memtable.apply(reader)
      this.#writes++
    }
    return undefined
  }

  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    const table = this.#tables.get(command.table)
    assert(table !== undefined, `read of an unknown table ${command.table}`)
    this.#reads++
    return table.read(command)
  }

  async flush(_id?: string): Promise<void> {}

  async close(): Promise<void> {}

  get statistics(): StoreStatistics {
    let memtableBytes = 0
    let memtableRecords = 0
    for (const { memtable } of this.#tables.values()) {
      memtableBytes += memtable.bytes
      memtableRecords += memtable.size
    }
    return { tables: this.#tables.size, memtableBytes, memtableRecords, writes: this.#writes, reads: this.#reads }
  }

  #find(bytes: Buffer, at: number): TableStore | null {
    const candidates = this.#byPrefix.get(readInt32(bytes, at))
    if (candidates === undefined) return null
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!
      if (sameId(candidate.idBytes, bytes, at)) return candidate
    }
    return null
  }
}

function sameId(id: Buffer, bytes: Buffer, at: number): boolean {
  for (let i = 4; i < 16; i++) if (id[i] !== bytes[at + i]) return false
  return true
}
