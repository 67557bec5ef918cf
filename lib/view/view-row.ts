/**
 * From a row of a base table to the row that a view has of it, or to none. Source: Cassandra's ViewUpdateGenerator for what a view shows, and for the idea that
 * a view's cells have the timestamps of the base table's.
 *
 * What a view holds of a base row is a copy under another key: cells, tombstones, deletions with the timestamps, expiries and TTLs of the base table. Versions of it,
 * whoever made them of whichever state of the base row and in whatever order they come, are merged by the law of rows, and give the copy of the merged base row:
 * - If the view's key has only columns of the base table's key, a base row has one place in the view. Columns that the view does not show leave cells without
 *   values there, because they keep the row alive.
 * - If it has another column (`extra`), the place is where that column's value says. The row there has a cell of presence (storage/model/row.ts), which is the
 *   extra column's cell: same timestamp, same kind; its value is the extra column's, in an encoding that sorts like it, and 1. When the base row's cell becomes
 *   another one, or is deleted with its row, the row at the old place gets a tombstone of that timestamp, or of the deletion's: what is in it is hidden,
 *   until the base row comes back with a later one. If old and new cell have one timestamp, the old place gets the new cell with 0, so that presence is
 *   decided by the law that decided between the cells.
 * Always: the result depends on the base row, the schema and the second alone.
 */
import {
  ANNOTATION_COLUMN_ID,
  CellFlag,
  compareTimestamps,
  PRESENCE_COLUMN_ID,
  RowReader,
  readInt32,
} from '../../storage/model/row.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import { ByteReader, ByteWriter } from '../base/bytes.ts'
import type { ColumnSchema, TableSchema, ViewSchema } from '../schema/table.ts'
import { NATIVE, someType } from '../types/names.ts'
import { decodeClustering, encodeClustering } from '../types/ordered.ts'
import { KEY_BYTES_MAX, serializePartitionKey, splitPartitionKey } from '../types/partition-key.ts'
import { compare, holds, isOrderOperator, type OrderOperator } from '../types/value.ts'

/** Where a view has a base row. */
export interface ViewPlace {
  readonly key: Buffer
  readonly clustering: Buffer
}

/** What a state of a base row means for a view. */
export interface ViewState {
  /** Null: it has no place in the view. */
  readonly place: ViewPlace | null
  /** What the view holds there, as a row of the storage encoding; null: nothing. */
  readonly row: Buffer | null
  /** The cell of the extra column, whatever it is. */
  readonly extra: ExtraCell | null
  /** The deletion (deletion.ts) of or over the row. */
  readonly deletion: Buffer | null
}

interface ExtraCell {
  readonly tsHigh: number
  readonly tsLow: number
  readonly flags: number
  readonly localDeletionTime: number
  readonly ttl: number
  readonly value: Buffer
}

/** A key that is too long to be one. */
export class KeyTooLong extends Error {}

interface Condition {
  readonly indexes: readonly number[]
  readonly operator: OrderOperator
  readonly values: readonly (readonly (Buffer | null)[])[]
}

interface Timestamp {
  high: number
  low: number
}

/** No cell has it. */
const NOWHERE = -1
const EMPTY = Buffer.alloc(0)
const BEFORE_ALL: Readonly<Timestamp> = { high: Number.NEGATIVE_INFINITY, low: 0 }

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
  readonly #reader = new RowReader()
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

  /** A base row that is not there: what covers it, if anything does. */
  gone(deletion: Buffer | null): ViewState {
    return { place: null, row: null, extra: null, deletion }
  }

  /** `covering`: the deletion (deletion.ts) of the partition or of a range that the row lies in. Throws KeyTooLong. */
  of(key: Buffer, clustering: Buffer, row: Buffer, covering: Buffer | null, nowSeconds: number): ViewState {
    const base = this.#base
    const reader = this.#reader.reset(row)
    const writer = this.#writer
    const deletion = deletionOver(reader, covering)
    let extra: ExtraCell | null = null
    let spelled: Buffer | null = null
    const spelledAt = { ...BEFORE_ALL }
    const newest = { ...BEFORE_ALL }
    this.#out.reset()
    writer.begin()
    if (this.#extra === null && reader.hasLiveness) {
      writer.liveness(reader.livenessTsHigh, reader.livenessTsLow, reader.livenessTtl, reader.livenessExpiresAt)
      raise(newest, reader.livenessTsHigh, reader.livenessTsLow)
    }
    if (deletion !== null)
      writer.deletion(readInt32(deletion, 0), readInt32(deletion, 4) >>> 0, readInt32(deletion, 8) >>> 0)
    while (reader.next()) {
      const column = base.columnsById[reader.columnId]
      if (column === undefined) {
        if (reader.columnId !== ANNOTATION_COLUMN_ID || !reader.isLive(nowSeconds)) continue
        spelled = row.subarray(reader.valueStart, reader.valueEnd)
        raise(spelledAt, reader.tsHigh, reader.tsLow)
        continue
      }
      if (isOfDropped(column, reader) || isCovered(reader, deletion)) continue
      raise(newest, reader.tsHigh, reader.tsLow)
      if (column === this.#extra) extra = extraCell(reader)
      else if (this.#shown[reader.columnId]) writer.copyCell(reader)
      else if (this.#extra === null) copyWithoutValue(writer, reader)
    }
    const values = this.#keyValues(key, clustering, spelled)
    // The key of a view is nowhere null.
    if (!isWhole(values) || !this.#matches(values)) return { place: null, row: null, extra, deletion }
    if (this.#extra !== null) {
      if (extra === null || !isLive(extra, nowSeconds)) return { place: null, row: null, extra, deletion }
      writePresence(writer, extra, 1)
      raise(spelledAt, extra.tsHigh, extra.tsLow)
    }
    const { place, spelling } = this.#place(values, extra?.value ?? null)
    if (spelling !== null) {
      const { high, low } = spelledAt.high === Number.NEGATIVE_INFINITY ? newest : spelledAt
      if (high !== Number.NEGATIVE_INFINITY) writer.cell(ANNOTATION_COLUMN_ID, high, low, spelling)
    }
    const isEmpty = writer.isEmpty
    writer.end()
    return { place, row: isEmpty ? null : this.#out.copy(), extra, deletion }
  }

  /** What the row at the place of `old` becomes when the base row is `now`, which has another place or none; null: it stays as it is. */
  left(old: ViewState, now: ViewState, nowSeconds: number): Buffer | null {
    const writer = this.#writer
    this.#out.reset()
    writer.begin()
    if (old.extra === null) this.#leaveWhole(old, now, nowSeconds)
    else {
      const { deletion, extra } = now
      if (deletion !== null)
        writer.deletion(readInt32(deletion, 0), readInt32(deletion, 4) >>> 0, readInt32(deletion, 8) >>> 0)
      const { tsHigh, tsLow } = old.extra
      if (extra !== null && compareTimestamps(extra.tsHigh, extra.tsLow, tsHigh, tsLow) === 0)
        writePresence(writer, extra, 0)
      else if (deletion !== null && isUnder(tsHigh, tsLow, deletion))
        writer.tombstone(PRESENCE_COLUMN_ID, readInt32(deletion, 0), readInt32(deletion, 4) >>> 0, nowSeconds)
      else writer.tombstone(PRESENCE_COLUMN_ID, tsHigh, tsLow, nowSeconds)
    }
    const isEmpty = writer.isEmpty
    writer.end()
    return isEmpty ? null : this.#out.copy()
  }

  /** A base row has one place, if its clustering is not written in another way (1.0 and 1.00): then nothing that was at the old one stays there. */
  #leaveWhole(old: ViewState, now: ViewState, nowSeconds: number): void {
    const { deletion } = now
    const newest = { ...BEFORE_ALL }
    if (now.place !== null && old.row !== null) {
      const reader = this.#reader.reset(old.row)
      if (reader.hasLiveness) raise(newest, reader.livenessTsHigh, reader.livenessTsLow)
      while (reader.next()) raise(newest, reader.tsHigh, reader.tsLow)
    }
    if (deletion !== null && (newest.high === Number.NEGATIVE_INFINITY || isUnder(newest.high, newest.low, deletion)))
      this.#writer.deletion(readInt32(deletion, 0), readInt32(deletion, 4) >>> 0, readInt32(deletion, 8) >>> 0)
    else if (newest.high !== Number.NEGATIVE_INFINITY) this.#writer.deletion(newest.high, newest.low, nowSeconds)
  }

  #keyValues(key: Buffer, clustering: Buffer, spelled: Buffer | null): (Buffer | null)[] {
    const { partitionKey, clustering: columns } = this.#base
    const values = splitPartitionKey(key, partitionKey.length)
    if (columns.length === 0) return values
    return [...values, ...(spelled === null ? decodeClustering(columns, clustering) : splitValues(spelled))]
  }

  #place(
    values: readonly Buffer[],
    extra: Buffer | null,
  ): { readonly place: ViewPlace; readonly spelling: Buffer | null } {
    const { view } = this
    const take = (index: number): Buffer => (index === NOWHERE ? extra! : values[index]!)
    const partition = this.#partitionFrom.map(take)
    const clustered = this.#clusteringFrom.map(take)
    if ([...partition, ...clustered].some((value) => value.length > KEY_BYTES_MAX)) throw new KeyTooLong()
    const key = Buffer.from(serializePartitionKey(partition))
    if (key.length > KEY_BYTES_MAX) throw new KeyTooLong()
    return {
      place: { key, clustering: encodeClustering(view.clustering, clustered) },
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

function isWhole(values: readonly (Buffer | null)[]): values is readonly Buffer[] {
  return !values.includes(null)
}

export function samePlace(a: ViewPlace | null, b: ViewPlace | null): boolean {
  if (a === null || b === null) return a === b
  return a.key.equals(b.key) && a.clustering.equals(b.clustering)
}

export function sameRow(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}

function raise(to: Timestamp, high: number, low: number): void {
  if (compareTimestamps(high, low, to.high, to.low) <= 0) return
  to.high = high
  to.low = low
}

/** A copy of the later of the row's own deletion and the one that lies over it. */
function deletionOver(row: RowReader, covering: Buffer | null): Buffer | null {
  if (!row.hasDeletion) return covering && Buffer.from(covering)
  const { deletionTsHigh, deletionTsLow, deletionLocalTime } = row
  if (
    covering !== null &&
    compareTimestamps(readInt32(covering, 0), readInt32(covering, 4) >>> 0, deletionTsHigh, deletionTsLow) > 0
  )
    return Buffer.from(covering)
  const deletion = Buffer.allocUnsafe(12)
  deletion.writeInt32BE(deletionTsHigh, 0)
  deletion.writeUInt32BE(deletionTsLow, 4)
  deletion.writeUInt32BE(deletionLocalTime, 8)
  return deletion
}

function isCovered({ tsHigh, tsLow }: RowReader, deletion: Buffer | null): boolean {
  return deletion !== null && isUnder(tsHigh, tsLow, deletion)
}

function isUnder(tsHigh: number, tsLow: number, deletion: Buffer): boolean {
  return compareTimestamps(tsHigh, tsLow, readInt32(deletion, 0), readInt32(deletion, 4) >>> 0) <= 0
}

function extraCell({
  tsHigh,
  tsLow,
  flags,
  localDeletionTime,
  ttl,
  buffer,
  valueStart,
  valueEnd,
}: RowReader): ExtraCell {
  return { tsHigh, tsLow, flags, localDeletionTime, ttl, value: Buffer.from(buffer.subarray(valueStart, valueEnd)) }
}

function isLive({ flags, localDeletionTime }: ExtraCell, nowSeconds: number): boolean {
  if ((flags & CellFlag.TOMBSTONE) !== 0) return false
  return (flags & CellFlag.EXPIRING) === 0 || localDeletionTime > nowSeconds
}

/** The extra column's cell as one of presence. */
function writePresence(writer: RowWriter, cell: ExtraCell, isPresent: 0 | 1): void {
  const { tsHigh, tsLow, flags, localDeletionTime, ttl } = cell
  const isExpiring = (flags & CellFlag.EXPIRING) !== 0
  if ((flags & CellFlag.TOMBSTONE) !== 0) {
    if (isExpiring) writer.expired(PRESENCE_COLUMN_ID, tsHigh, tsLow, ttl, localDeletionTime)
    else writer.tombstone(PRESENCE_COLUMN_ID, tsHigh, tsLow, localDeletionTime)
    return
  }
  const value = presenceValue(cell.value, isPresent)
  if (isExpiring) writer.expiringCell(PRESENCE_COLUMN_ID, tsHigh, tsLow, ttl, localDeletionTime, value)
  else writer.cell(PRESENCE_COLUMN_ID, tsHigh, tsLow, value)
}

/** Sorts like the value: a zero byte is followed by 255, the end is two zero bytes. */
function presenceValue(value: Buffer, isPresent: 0 | 1): Buffer {
  const out = new ByteWriter(value.length + 8)
  for (const byte of value) {
    out.uint8(byte)
    if (byte === 0) out.uint8(255)
  }
  out.uint8(0)
  out.uint8(0)
  out.uint8(isPresent)
  return out.view()
}

/** A cell that the view does not show, but that keeps the row alive as long as it lives. */
function copyWithoutValue(writer: RowWriter, cell: RowReader): void {
  const { columnId, tsHigh, tsLow, ttl, localDeletionTime, isExpiring } = cell
  if (cell.isTombstone || cell.isComplexDeletion) writer.copyCell(cell)
  else if (cell.hasPath) {
    const path = cell.buffer.subarray(cell.pathStart, cell.pathEnd)
    if (isExpiring) writer.expiringPathCell(columnId, path, tsHigh, tsLow, ttl, localDeletionTime, EMPTY)
    else writer.pathCell(columnId, path, tsHigh, tsLow, EMPTY)
  } else if (isExpiring) writer.expiringCell(columnId, tsHigh, tsLow, ttl, localDeletionTime, EMPTY)
  else writer.cell(columnId, tsHigh, tsLow, EMPTY)
}

/** Whether the cell was written before a column of that name was dropped. */
function isOfDropped({ droppedAtMicros }: ColumnSchema, reader: RowReader): boolean {
  if (droppedAtMicros === null) return false
  return ((BigInt(reader.tsHigh) << 32n) | BigInt(reader.tsLow)) <= droppedAtMicros
}

/** A [value] for each clustering column. */
function splitValues(spelling: Buffer): (Buffer | null)[] {
  const reader = new ByteReader(spelling)
  const values: (Buffer | null)[] = []
  while (reader.remaining() > 0) {
    const length = reader.int32()
    values.push(length < 0 ? null : reader.view(length))
  }
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
