/**
 * Rows of a table that went back from vector clocks to timestamps. Storage shows them flat where it shows rows; what was compared with other replicas
 * comes as they store it, and is flattened here.
 */
import { flatResult } from '../../../storage/model/causal/flatten.ts'
import type { PartitionData } from '../../../storage/model/command.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { isFlattened } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'

/** Of one such table. */
export class FlatRows {
  readonly #law = new LastWriteWins()

  /** Null for a table that never was of vector clocks, or is. */
  static of(table: TableSchema): FlatRows | null {
    return isFlattened(table.options) ? new FlatRows() : null
  }

  /** The same partitions, their rows as timestamps have them. */
  expand(partitions: readonly PartitionData[], nowSeconds: number): readonly PartitionData[] {
    return flatResult(this.#law, { partitions: [...partitions], more: false, tombstones: 0 }, nowSeconds).partitions
  }
}
