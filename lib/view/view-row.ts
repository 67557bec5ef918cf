/**
 * From a row of a base table to the row that a view of it has, or to none. Source: Cassandra's ViewUpdateGenerator for what a view shows.
 * Always: the result depends on the base row, the schema and the second alone, so two states of a base row tell what must become of the view.
 */
import { ANNOTATION_COLUMN_ID, type RowReader, RowReader as Rows, RowWriter } from '../../storage/model/row.ts'
import { ByteReader, ByteWriter } from '../base/bytes.ts'
import type { ColumnSchema, TableSchema, ViewSchema } from '../schema/table.ts'
import { NATIVE, someType } from '../types/names.ts'
import { decodeClustering, encodeClustering } from '../types/ordered.ts'
import { KEY_BYTES_MAX, serializePartitionKey, splitPartitionKey } from '../types/partition-key.ts'
import { compare, holds, isOrderOperator, type OrderOperator } from '../types/value.ts'

/** What a view shows of one base row. */
export interface ViewRow {
  readonly key: Buffer
  readonly clustering: Buffer
  /** When the row goes (seconds since 1970), whatever its cells are; 0: it stays. */
  readonly expiresAt: number
  readonly ttl: number
  /** The cells, with the timestamps of the base table, as a row of the storage encoding. */
  readonly cells: Buffer
  /** How the clustering was written, where its bytes do not tell; null: they do. */
  readonly spelling: Buffer | null
}

/** A key that is too long to be one. */
export class KeyTooLong extends Error {}

interface Condition {
  readonly indexes: readonly number[]
  readonly operator: OrderOperator
  readonly values: readonly (readonly (Buffer | null)[])[]
}

/** No cell has it. */
const NOWHERE = -1

export class ViewRows {
  readonly view: TableSchema
  readonly #base: TableSchema
  /** The column outside the base table's key that is part of the view's. */
  readonly #extra: ColumnSchema | null
  /** By column id: the cell goes into the view. */
  readonly #shown: readonly boolean[]
  /** Of each column of the view's key its index among the base table's key columns; NOWHERE: the extra one. */
  readonly #partitionFrom: readonly number[]
  readonly #clusteringFrom: readonly number[]
  readonly #conditions: readonly Condition[]
  /** The rows of the view say how their clusterings were written: equal decimals may have different bytes. */
  readonly #spells: boolean
  readonly #reader = new Rows()
  readonly #out = new ByteWriter(512)
  readonly #writer = new RowWriter(this.#out)

  constructor(base: TableSchema, view: TableSchema & { readonly view: ViewSchema }) {
    this.#base = base
    this.view = view
    const keys = [...base.partitionKey, ...base.clustering]
    const indexOf = (name: string) => keys.findIndex((column) => column.name === name)
    const ownKeys = [...view.partitionKey, ...view.clustering]
    const extra = ownKeys.find(({ name }) => indexOf(name) < 0)
    this.#extra = extra ? base.columns.get(extra.name)! : null
    this.#shown = base.columnsById.map((column) => column !== undefined && view.columnsById[column.id] !== undefined)
    this.#partitionFrom = view.partitionKey.map(({ name }) => indexOf(name))
    this.#clusteringFrom = view.clustering.map(({ name }) => indexOf(name))
    // IS NOT NULL of a column outside the view's key says nothing, as in Cassandra.
    this.#conditions = view.view.conditions
      .filter(({ operator }) => operator !== 'IS NOT')
      .map(({ columns, operator, values }) => ({
        indexes: columns.map(indexOf),
        operator: isOrderOperator(operator) ? operator : '=',
        values,
      }))
    this.#spells = view.clustering.some(({ type }) => someType(type, (part) => part === NATIVE.decimal))
  }

  /** Null: the view has none. Throws KeyTooLong. */
  of(key: Buffer, clustering: Buffer, row: Buffer, nowSeconds: number): ViewRow | null {
    const base = this.#base
    const reader = this.#reader.reset(row)
    let extraValue: Buffer | null = null
    let isLive = reader.livenessIsLive(nowSeconds)
    let ttl = isLive ? reader.livenessTtl : 0
    let expiresAt = isLive && ttl > 0 ? reader.livenessExpiresAt : 0
    let extraTtl = 0
    let extraExpiresAt = 0
    let spelled: Buffer | null = null
    const writer = this.#writer
    this.#out.reset()
    writer.begin()
    while (reader.next()) {
      if (!reader.isLive(nowSeconds)) continue
      const column = base.columnsById[reader.columnId]
      if (column === undefined) {
        if (reader.columnId === ANNOTATION_COLUMN_ID) spelled = row.subarray(reader.valueStart, reader.valueEnd)
        continue
      }
      if (isOfDropped(column, reader)) continue
      const cellExpiresAt = reader.isExpiring ? reader.localDeletionTime : 0
      if (!isLive || (expiresAt > 0 && (cellExpiresAt === 0 || cellExpiresAt > expiresAt))) {
        expiresAt = cellExpiresAt
        ttl = reader.ttl
      }
      isLive = true
      if (column === this.#extra) {
        extraValue = row.subarray(reader.valueStart, reader.valueEnd)
        extraTtl = reader.ttl
        extraExpiresAt = cellExpiresAt
      } else if (this.#shown[reader.columnId]) writer.copyCell(reader)
    }
    writer.end()
    if (!isLive) return null
    if (this.#extra !== null) {
      if (extraValue === null) return null
      ttl = extraTtl
      expiresAt = extraExpiresAt
    }
    const values = this.#keyValues(key, clustering, spelled)
    if (!this.#matches(values)) return null
    return { ...this.#place(values, extraValue), expiresAt, ttl, cells: this.#out.copy() }
  }

  #keyValues(key: Buffer, clustering: Buffer, spelled: Buffer | null): Buffer[] {
    const { partitionKey, clustering: columns } = this.#base
    const values = splitPartitionKey(key, partitionKey.length)
    if (columns.length === 0) return values
    return [...values, ...(spelled === null ? decodeClustering(columns, clustering) : splitValues(spelled))]
  }

  #place(values: readonly Buffer[], extra: Buffer | null): Pick<ViewRow, 'key' | 'clustering' | 'spelling'> {
    const { view } = this
    const take = (index: number): Buffer => (index === NOWHERE ? extra! : values[index]!)
    const partition = this.#partitionFrom.map(take)
    const clustered = this.#clusteringFrom.map(take)
    if ([...partition, ...clustered].some((value) => value.length > KEY_BYTES_MAX)) throw new KeyTooLong()
    const key = Buffer.from(serializePartitionKey(partition))
    if (key.length > KEY_BYTES_MAX) throw new KeyTooLong()
    return {
      key,
      clustering: encodeClustering(view.clustering, clustered),
      spelling: this.#spells ? joinValues(clustered) : null,
    }
  }

  #matches(values: readonly Buffer[]): boolean {
    for (const { indexes, operator, values: tuples } of this.#conditions)
      if (!tuples.some((tuple) => this.#compares(indexes, operator, values, tuple))) return false
    return true
  }

  #compares(
    indexes: readonly number[],
    operator: Condition['operator'],
    values: readonly Buffer[],
    tuple: readonly (Buffer | null)[],
  ): boolean {
    const { partitionKey } = this.#base
    let order = 0
    for (let i = 0; i < indexes.length && order === 0; i++) {
      const index = indexes[i]!
      const given = tuple[i]
      if (given === null || given === undefined) return false
      const columns = index < partitionKey.length ? partitionKey : this.#base.clustering
      const { type } = columns[index < partitionKey.length ? index : index - partitionKey.length]!
      order = compare(type, values[index]!, given)
    }
    return holds(operator, order)
  }
}

export function sameViewRow(a: ViewRow, b: ViewRow): boolean {
  return (
    samePlace(a, b) &&
    a.expiresAt === b.expiresAt &&
    a.ttl === b.ttl &&
    a.cells.equals(b.cells) &&
    (a.spelling === null ? b.spelling === null : b.spelling !== null && a.spelling.equals(b.spelling))
  )
}

export function samePlace(a: ViewRow, b: ViewRow): boolean {
  return a.key.equals(b.key) && a.clustering.equals(b.clustering)
}

/** Whether the cell was written before a column of that name was dropped. */
function isOfDropped({ droppedAtMicros }: ColumnSchema, reader: RowReader): boolean {
  if (droppedAtMicros === null) return false
  return ((BigInt(reader.tsHigh) << 32n) | BigInt(reader.tsLow)) <= droppedAtMicros
}

/** A [value] for each clustering column. */
function splitValues(spelling: Buffer): Buffer[] {
  const reader = new ByteReader(spelling)
  const values: Buffer[] = []
  while (reader.remaining() > 0) values.push(reader.view(reader.int32()))
  return values
}

function joinValues(values: readonly Buffer[]): Buffer {
  const writer = new ByteWriter(64)
  for (const value of values) {
    writer.int32(value.length)
    writer.bytes(value)
  }
  return writer.copy()
}
