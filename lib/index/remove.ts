/**
 * Removes stale entries that reads met, one after another beside other work.
 * Always: an entry goes only when its row, read after the entry, does not give its term, and would not if the clock were set back a while; an
 * entry that was written since stays.
 */
import { ALL_ROWS, type ReadCommand } from '../../storage/model/command.ts'
import type { Log } from '../runtime/runtime.ts'
import type { ReadStorage } from './candidates.ts'
import type { EntryWriter, IndexEntry } from './entry.ts'
import { TermCheck } from './read.ts'
import type { StoredIndex } from './table-indexes.ts'

export interface RemoverServices {
  readonly read: ReadStorage
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  nowSeconds(): number
  readonly writer: EntryWriter
  /** Null: the index is gone. */
  idOf(index: StoredIndex): Buffer | null
  readonly log: Log
}

interface Waiting {
  readonly index: StoredIndex
  readonly entry: IndexEntry
}

/** What is met while so many wait is left for another read. */
const WAITING_MAX = 4096
/** A value that expired less than so long ago may come back when the clock is set back. */
const CLOCK_DOUBT_SECONDS = 3600
const SOURCE = 'lib/index/remove.ts'

export class Remover {
  readonly #services: RemoverServices
  #waiting: Waiting[] = []
  #running: Promise<void> | null = null
  #closed = false

  constructor(services: RemoverServices) {
    this.#services = services
  }

  add(index: StoredIndex, entries: readonly IndexEntry[]): void {
    for (const entry of entries) if (this.#waiting.length < WAITING_MAX) this.#waiting.push({ index, entry })
    if (this.#closed) return
    this.#running ??= this.#run().finally(() => {
      this.#running = null
    })
  }

  async settle(): Promise<void> {
    await this.#running
  }

  close(): void {
    this.#closed = true
  }

  async #run(): Promise<void> {
    const { log } = this.#services
    try {
      while (this.#waiting.length > 0 && !this.#closed) {
        const waiting = this.#waiting
        this.#waiting = []
        for (const { index, entry } of waiting) {
          if (this.#closed) return
          await this.#remove(index, entry)
        }
      }
    } catch (cause) {
      this.#waiting = []
      log.warn(SOURCE, `stale entries of an index stay: ${String(cause)}`)
    }
  }

  async #remove(index: StoredIndex, entry: IndexEntry): Promise<void> {
    const { read, apply, writer, idOf, nowSeconds } = this.#services
    const now = nowSeconds()
    const result = await read(rowOf(index, entry, now - CLOCK_DOUBT_SECONDS))
    const partition = result.partitions[0]
    if (partition !== undefined) {
      const check = new TermCheck(index)
      const { key, staticRow, rows } = partition
      const { kind } = index.target.column
      if (kind === 'partition_key') return
      const row = kind === 'static' ? staticRow : (rows[0]?.row ?? null)
      const place = { key, clustering: entry.clustering, isStatic: kind === 'static' }
      if (row !== null && check.gives(row, place, now - CLOCK_DOUBT_SECONDS, entry.term)) return
    }
    const id = idOf(index)
    if (id !== null) await apply([writer.remove(id, entry, now)])
  }
}

function rowOf(index: StoredIndex, entry: IndexEntry, nowSeconds: number): ReadCommand {
  const { clustering } = entry
  const isRow = !index.ofPartition && index.table.clustering.length > 0
  const end = Buffer.concat([clustering, Buffer.of(0x60)])
  return {
    ...ALL_ROWS,
    table: index.table.id,
    target: { kind: 'partition', position: entry.position },
    slices: isRow ? [{ start: clustering, end, single: true }] : null,
    wantStatic: true,
    staticCounts: true,
    limit: 1,
    nowSeconds,
  }
}
