/** Rows that ALLOW FILTERING looks at: key and static columns once a partition, the others for each row. */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import type { RowFilter } from './filter.ts'
import { RowValues } from './select-values.ts'

class ColumnValues {
  readonly #columns: readonly ColumnSchema[]
  readonly #row: RowValues

  constructor(table: TableSchema, columns: readonly ColumnSchema[]) {
    this.#columns = columns
    this.#row = new RowValues(
      table,
      columns.map((column) => ({ column, part: 'value' })),
    )
  }

  partition(partition: PartitionData, nowSeconds: number): void {
    this.#row.partition(partition, nowSeconds)
  }

  load(row: RowData | null): void {
    this.#row.load(row)
  }

  value(column: ColumnSchema): Buffer | null {
    return this.#row.values[this.#columns.indexOf(column)]!
  }
}

/** The columns a statement's filter looks at; one serves all executions, for none of them waits while it looks. */
export class FilterColumns {
  readonly #ofPartition: ColumnValues
  readonly #ofRow: ColumnValues

  constructor(table: TableSchema, columns: readonly ColumnSchema[]) {
    const isOfPartition = ({ kind }: ColumnSchema): boolean => kind === 'partition_key' || kind === 'static'
    this.#ofPartition = new ColumnValues(table, columns.filter(isOfPartition))
    this.#ofRow = new ColumnValues(
      table,
      columns.filter((column) => !isOfPartition(column)),
    )
  }

  /** Begins a partition; whether its rows have to be looked at. */
  matchesPartition(filter: RowFilter, partition: PartitionData, nowSeconds: number): boolean {
    this.#ofPartition.partition(partition, nowSeconds)
    this.#ofPartition.load(null)
    this.#ofRow.partition(partition, nowSeconds)
    return filter.matchesPartition(this.#ofPartition)
  }

  matchesRow(filter: RowFilter, row: RowData): boolean {
    if (!filter.looksAtRows) return true
    this.#ofRow.load(row)
    return filter.matchesRow(this.#ofRow)
  }
}
