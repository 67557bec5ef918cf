/**
 * What the coordinator needs of a node's data: its own, whichever node it coordinates for. Storage with its indexes and views stands behind it
 * (lib/server), or a test's map.
 */
import type { KnownRows } from '../../storage/model/causal/known-rows.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Resolution } from '../../storage/model/merge.ts'

/** One node's data, as the coordinator sees it. */
export interface Replica {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  /**
   * A row of the mutation's table as it is stored, synced or not: valid until the next call. Null: there is none; undefined: it takes a read to tell.
   * Absent: it always does.
   */
  rowAtHand?(mutation: Buffer, position: Buffer, clustering: Buffer): Buffer | null | undefined
  /** What is known of rows of vector-clock tables whose writes were led here; it takes notice of whatever else is written to them. Absent: nothing. */
  readonly knownRows?: KnownRows
  /** How often it gave something up that it had held, since the node began. Absent: never. */
  forgettings?(): number
  /** The law by which versions of the table's rows merge. */
  resolution(table: string): Resolution
  /**
   * `atMs`, since 1970: when it counts as emptied; default: by this node's clock. Its views are emptied with it, all at once; in a cluster that comes later, by
   * truncateViews.
   */
  truncate(table: string, atMs?: number): Promise<void>
  /** The views of a table, if it has any; what belongs into them is brought again by fillViews, or after a while without that. */
  truncateViews?(table: string, atMs: number): Promise<void>
  fillViews?(table: string): void
}

export type WriteType = 'SIMPLE' | 'BATCH' | 'UNLOGGED_BATCH' | 'COUNTER' | 'CAS' | 'CAUSAL'
