/**
 * Building: entries for what a table held before its index was made. Writes go on meanwhile, and make their own; an entry for a row that has
 * changed since it was read is stale, no more.
 */
import { ALL_ROWS, type ReadCommand, type ReadPoint, type ReadResult } from '../../storage/model/command.ts'
import type { ReadStorage } from './candidates.ts'
import type { StoredIndex } from './table-indexes.ts'

export interface BuildServices {
  readonly read: ReadStorage
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  nowSeconds(): number
  /** Lets others have the event loop. */
  pause(): Promise<void>
  goesOn(): boolean
  /** Rows with a null clustering are static. */
  entriesOf(
    position: Buffer,
    rows: readonly { readonly clustering: Buffer | null; readonly row: Buffer }[],
  ): readonly Buffer[]
}

/** One read and one write: a millisecond or so. */
const CHUNK_ROWS = 128
const CHUNK_BYTES = 256 * 1024

/** All of one table. Answers how many rows were looked at; null: it was cut short. */
export async function buildIndexes(indexes: readonly StoredIndex[], services: BuildServices): Promise<number | null> {
  const { table } = indexes[0]!
  let after: ReadPoint | null = null
  let count = 0
  do {
    if (after !== null) await services.pause()
    if (!services.goesOn()) return null
    const result: ReadResult = await services.read(chunk(table.id, after, services.nowSeconds()))
    const entries: Buffer[] = []
    for (const { position, staticRow, rows } of result.partitions) {
      count += rows.length
      const all = staticRow === null ? rows : [{ clustering: null, row: staticRow }, ...rows]
      entries.push(...services.entriesOf(position, all))
    }
    after = nextPoint(result, table.clustering.length > 0)
    if (entries.length > 0) await services.apply(entries)
  } while (after !== null)
  return count
}

function chunk(table: string, after: ReadPoint | null, nowSeconds: number): ReadCommand {
  return {
    ...ALL_ROWS,
    table,
    target: { kind: 'range', start: null, end: null },
    wantStatic: true,
    staticCounts: true,
    limit: CHUNK_ROWS,
    byteLimit: CHUNK_BYTES,
    nowSeconds,
    after,
  }
}

function nextPoint({ partitions, more }: ReadResult, hasClustering: boolean): ReadPoint | null {
  const partition = partitions.at(-1)
  if (!more || partition === undefined) return null
  const row = partition.rows.at(-1)
  return {
    position: Buffer.from(partition.position),
    clustering: row === undefined ? null : Buffer.from(row.clustering),
    partitionDone: row === undefined || !hasClustering,
    rowsGiven: Math.max(partition.rows.length, 1),
  }
}
