/**
 * Truncations of a store's tables: a snapshot if the table is to have one, then the table's memtable and files are gone, and the manifest says since when.
 * Always: no compaction and no flush of the tables runs meanwhile; after a crash all tables of one truncation are empty or none.
 */
import { offsetOf, segmentOf } from './commitlog/segment.ts'
import type { Compactions } from './compaction/manager.ts'
import type { Files } from './files.ts'
import type { Truncation } from './store-words.ts'
import type { TableSnapshots } from './table-snapshots.ts'
import type { TableStore } from './table-store.ts'

export interface TruncationsOptions {
  /** These are null together: everything is in memory only. */
  readonly files: Files | null
  readonly snapshots: TableSnapshots | null
  readonly compactions: Compactions | null
  /** Between the flushes of a table. */
  inTurn(table: string, work: () => Promise<void>): Promise<void>
}

export class Truncations {
  readonly #options: TruncationsOptions
  /** Of tables that are dropped too: their ids are never used again. */
  readonly #inMemory = new Map<string, Truncation>()

  constructor(options: TruncationsOptions) {
    this.#options = options
  }

  /** The first table is the one that is meant; the others go with it. */
  async truncate(tables: readonly TableStore[], atMs: number): Promise<void> {
    const releases: (() => void)[] = []
    try {
      for (const { id } of tables) {
        const release = await this.#options.compactions?.hold(id)
        if (release) releases.push(release)
      }
      await this.#inTurns(tables, () => this.#truncate(tables, atMs))
    } finally {
      for (const release of releases) release()
    }
  }

  /** In the turns of all the tables at once; whoever asks for several asks for them in one order. */
  #inTurns(tables: readonly TableStore[], work: () => Promise<void>): Promise<void> {
    const [first, ...others] = tables
    return first === undefined ? work() : this.#options.inTurn(first.id, () => this.#inTurns(others, work))
  }

  async #truncate(tables: readonly TableStore[], atMs: number): Promise<void> {
    const { files, snapshots } = this.#options
    const table = tables[0]!
    if (files) {
      if (snapshots?.isAutomatic(table)) {
        await files.flush(table)
        await snapshots.takeBefore('truncated', table)
      }
      await files.truncate(tables, atMs)
    } else {
      for (const each of tables) {
        each.swapMemtable(0)
        each.settlePending(null)
      }
      this.#inMemory.set(table.id, { segment: 0, offset: 0, atMs })
    }
  }

  /** The last of each table, by its id. */
  last(): ReadonlyMap<string, Truncation> {
    const { files } = this.#options
    if (!files) return this.#inMemory
    const truncations = new Map<string, Truncation>()
    for (const { table, truncated } of files.manifest.tables.values()) {
      if (truncated === null) continue
      const { position, atMs } = truncated
      truncations.set(table, { segment: segmentOf(position), offset: offsetOf(position), atMs })
    }
    return truncations
  }
}
