/**
 * Which writes are visible but not yet synced, so that a read waits for the sync of what it shows: a crash could take it away again, and a
 * reader would have seen what never was. Source: Cassandra's commit log in the modes batch and group, which syncs before the memtable is written.
 * Writes are put into groups by the sync that they wait for. A read by key looks at one bucket of token hashes (a stranger's write there
 * costs it a wait and nothing else), a read of a range at its table.
 */
import { type ReadCommand, type ReadResult, RowData } from './model/command.ts'
import { readInt32 } from './model/row.ts'

/** A power of two. Few writes are under way at a time, beside so many. */
const BUCKETS = 16_384

/** Where the low half of the token is, in a mutation and in a position. */
const TOKEN_LOW_IN_MUTATION = 20
const TOKEN_LOW_IN_POSITION = 4

/** A table, as far as it must know of this. */
export interface UnsyncedTable {
  /** The latest group with a write to it. */
  unsyncedGroup: number
}

export class UnsyncedWrites {
  /** By bucket: the latest group with a write in it. */
  readonly #groups = new Float64Array(BUCKETS)
  /** The syncs that are under way, by group. */
  readonly #syncs = new Map<number, Promise<void>>()
  #group = 0
  #synced = 0
  #last: Promise<void> | null = null

  /** The writes that are noted from now on wait for this sync. */
  begin(durable: Promise<void>): void {
    if (durable === this.#last) return
    this.#last = durable
    const group = ++this.#group
    const done = (): void => {
      this.#syncs.delete(group)
      if (group > this.#synced) this.#synced = group
    }
    // After a sync that failed nothing is written any more, and what is there can be read.
    this.#syncs.set(group, durable.then(done, done))
  }

  note(table: UnsyncedTable, mutation: Buffer): void {
    this.#groups[readInt32(mutation, TOKEN_LOW_IN_MUTATION) & (BUCKETS - 1)] = this.#group
    table.unsyncedGroup = this.#group
  }

  /** Null: all that the read would show is synced. */
  syncOf(table: UnsyncedTable, { target }: ReadCommand): Promise<void> | null {
    if (table.unsyncedGroup <= this.#synced) return null
    const group =
      target.kind === 'range'
        ? table.unsyncedGroup
        : this.#groups[readInt32(target.position, TOKEN_LOW_IN_POSITION) & (BUCKETS - 1)]!
    return group <= this.#synced ? null : (this.#syncs.get(group) ?? null)
  }
}

/** What was read, to be given when it is synced: its views would not hold so long. */
export async function whenSynced(result: ReadResult, synced: Promise<void>): Promise<ReadResult> {
  const copy = copyResult(result)
  await synced
  return copy
}

function copyResult({ partitions, ...rest }: ReadResult): ReadResult {
  return {
    ...rest,
    partitions: partitions.map((partition) => {
      const position = Buffer.from(partition.position)
      const { deletion, rangeTombstones, cut } = partition
      return {
        ...partition,
        position,
        key: position.subarray(position.length - partition.key.length),
        staticRow: partition.staticRow && Buffer.from(partition.staticRow),
        rows: partition.rows.map(copyRow),
        ...(deletion ? { deletion: Buffer.from(deletion) } : {}),
        ...(cut ? { cut: Buffer.from(cut) } : {}),
        ...(rangeTombstones
          ? {
              rangeTombstones: rangeTombstones.map((each) => ({
                start: Buffer.from(each.start),
                end: Buffer.from(each.end),
                deletion: Buffer.from(each.deletion),
              })),
            }
          : {}),
      }
    }),
  }
}

function copyRow({ clustering, row, isDead }: RowData): RowData {
  return RowData.of(Buffer.from(clustering), Buffer.from(row), isDead)
}
