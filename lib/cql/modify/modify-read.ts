/** Rows read before they are written: for elements of lists, which are known by their place, and for conditions. */
import type { PartitionData, ReadCommand, ReadResult, Slice } from '../../../storage/model/command.ts'
import { COUNT_BYTES } from '../../../storage/model/counter.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { assembleList, assembleTuple } from '../../types/assemble.ts'
import { Consistency } from '../../types/consistency.ts'
import { isCounter, isMultiCell } from '../../types/names.ts'
import { AFTER_PREFIX, decodeClustering, decodePath } from '../../types/ordered.ts'
import { encodePosition } from '../../types/partition-key.ts'
import type { CqlType } from '../../types/type.ts'
import { FlatRows } from '../causal/flat-rows.ts'
import type { Environment, MaybePromise, QueryOptions } from '../statement.ts'
import {
  afterSpelledKey,
  hasSpellings,
  SPELLING_COLUMN_ID,
  spelledKeyLength,
  spelledKeyStart,
} from '../terms/key-spelling.ts'

/** A live cell; the path is empty in columns of one cell. */
export interface ExistingCell {
  readonly path: Buffer
  readonly value: Buffer
}

const NO_CELLS: readonly ExistingCell[] = []

/** The live cells of a row that was read, by column, in order of path. */
export class ExistingRow {
  readonly clustering: Buffer
  /** It was inserted, and so is there whatever its cells are. */
  readonly isInserted: boolean
  /** Its clustering as it was written, a [value] for each column; null: as it is decoded. */
  readonly spelling: Buffer | null
  readonly #cells = new Map<number, ExistingCell[]>()

  /** Copies: what the store gave is valid for this turn only. */
  constructor(table: TableSchema, clustering: Buffer, row: Buffer, nowSeconds: number) {
    this.clustering = Buffer.from(clustering)
    const reader = new RowReader().reset(Buffer.from(row))
    this.isInserted = reader.livenessIsLive(nowSeconds)
    let spelling: Buffer | null = null
    while (reader.next()) {
      const { columnId } = reader
      if (columnId === SPELLING_COLUMN_ID && reader.isLive(nowSeconds))
        spelling = reader.buffer.subarray(reader.valueStart, reader.valueEnd)
      const column = table.columnsById[columnId]
      if (column === undefined || !reader.isLive(nowSeconds) || isOfDropped(reader, column)) continue
      const cell = {
        path: reader.buffer.subarray(reader.pathStart, reader.pathEnd),
        value: reader.buffer.subarray(reader.valueStart, reader.valueEnd),
      }
      const cells = this.#cells.get(columnId)
      if (cells) cells.push(cell)
      else this.#cells.set(columnId, [cell])
    }
    this.spelling = spelling
  }

  /** The values of the clustering columns; null: it has none. */
  clusteringValues(table: TableSchema): (Buffer | null)[] {
    if (this.spelling === null) return decodeClustering(table.clustering, this.clustering)
    const reader = new ByteReader(this.spelling)
    return table.clustering.map(() => {
      const length = reader.int32()
      return length < 0 ? null : reader.view(length)
    })
  }

  cells(column: ColumnSchema): readonly ExistingCell[] {
    return this.#cells.get(column.id) ?? NO_CELLS
  }

  /** The column's value as CQL gives it; null when there is none. */
  value(column: ColumnSchema): Buffer | null {
    const cells = this.cells(column)
    if (cells.length === 0) return null
    if (isCounter(column.type)) return sumOf(cells)
    return isMultiCell(column.type) ? assembleCells(column.type, cells) : cells[0]!.value
  }
}

/** The cell was written before its column was dropped and added anew. */
function isOfDropped(reader: RowReader, column: ColumnSchema): boolean {
  if (column.droppedAtMicros === null) return false
  const timestamp = (BigInt(reader.tsHigh) << 32n) | BigInt(reader.tsLow >>> 0)
  return timestamp <= column.droppedAtMicros
}

function sumOf(cells: readonly ExistingCell[]): Buffer {
  let sum = 0n
  for (const { value } of cells) if (value.length === COUNT_BYTES) sum += value.readBigInt64BE(0)
  const bytes = Buffer.allocUnsafe(COUNT_BYTES)
  bytes.writeBigInt64BE(BigInt.asIntN(64, sum), 0)
  return bytes
}

function assembleCells(type: CqlType, cells: readonly ExistingCell[]): Buffer {
  switch (type.kind) {
    case 'list':
      return assembleList(cells.map((cell) => cell.value))
    case 'set':
      return assembleList(
        cells.map((cell) => (cell.value.length > 0 ? cell.value : decodePath(type.element, cell.path))),
      )
    case 'map': {
      const spells = hasSpellings(type.key)
      const parts = assembleList(
        cells.flatMap((cell) => (spells ? spelledEntry(type.key, cell) : entry(type.key, cell))),
      )
      parts.writeInt32BE(cells.length)
      return parts
    }
    default: {
      const fields: (Buffer | null)[] = type.kind === 'udt' ? type.fieldNames.map(() => null) : []
      for (const { path, value } of cells) fields[path.readUInt16BE(0)] = value
      return assembleTuple(fields)
    }
  }
}

function entry(keyType: CqlType, { path, value }: ExistingCell): [Buffer, Buffer] {
  return [decodePath(keyType, path), value]
}

function spelledEntry(keyType: CqlType, { path, value }: ExistingCell): [Buffer, Buffer] {
  const at = afterSpelledKey(value, 0)
  const key = spelledKeyLength(value, 0) < 0 ? decodePath(keyType, path) : value.subarray(spelledKeyStart(0), at)
  return [key, value.subarray(at)]
}

/** What was read of one partition. */
export interface ExistingPartition {
  readonly staticRow: ExistingRow | null
  readonly rows: readonly ExistingRow[]
}

/** Rows that are read at once when one that was inserted is looked for. */
const ROWS_AT_ONCE = 100

/** Who gives what is read. */
export type PartitionReader = (command: ReadCommand) => MaybePromise<ReadResult>

/** Which rows of a partition, besides its static one. 'first': its first row; 'inserted': its first that was not only updated. */
export type WantedRows = readonly Buffer[] | 'first' | 'inserted'

/** The read of some rows of a partition: it begins with `command`, and `finish` makes of its result what was found. */
export class PartitionRead {
  readonly command: ReadCommand
  readonly #table: TableSchema
  readonly #wanted: WantedRows
  /** Of a table that was of vector clocks, else null. */
  readonly #flat: FlatRows | null

  constructor(table: TableSchema, key: Buffer, wanted: WantedRows, nowSeconds: number) {
    this.#table = table
    this.#wanted = wanted
    this.#flat = FlatRows.of(table)
    const all = typeof wanted === 'string' || table.clustering.length === 0
    this.command = {
      table: table.id,
      target: { kind: 'partition', position: encodePosition(key, new Int32Array(2)) },
      slices: all ? null : slicesOf(wanted),
      reversed: false,
      wantStatic: true,
      staticCounts: true,
      limit: !all ? Number.POSITIVE_INFINITY : wanted === 'inserted' ? ROWS_AT_ONCE : 1,
      perPartitionLimit: Number.POSITIVE_INFINITY,
      byteLimit: Number.POSITIVE_INFINITY,
      nowSeconds,
      after: null,
    }
  }

  /** Copies what it keeps. */
  finish(found: ReadResult, read: PartitionReader): MaybePromise<ExistingPartition> {
    const partition = this.#existing(found)
    return this.#wanted === 'inserted' ? this.#firstInserted(partition, found, read) : partition
  }

  async #firstInserted(
    partition: ExistingPartition,
    { more }: ReadResult,
    read: PartitionReader,
  ): Promise<ExistingPartition> {
    const position = this.command.target.kind === 'partition' ? this.command.target.position : Buffer.alloc(0)
    const { staticRow } = partition
    let { rows } = partition
    let follows = more
    for (;;) {
      const inserted = rows.filter((row) => row.isInserted).slice(0, 1)
      const last = rows.at(-1)
      if (inserted.length > 0 || !follows || last === undefined) return { staticRow, rows: inserted }
      const after = { position, clustering: last.clustering, partitionDone: false, rowsGiven: 0 }
      const next = await read({ ...this.command, after })
      rows = this.#existing(next).rows
      follows = next.more
    }
  }

  #existing({ partitions }: ReadResult): ExistingPartition {
    const { nowSeconds } = this.command
    const shown = this.#flat === null ? partitions : this.#flat.expand(partitions, nowSeconds)
    return existingPartition(this.#table, shown[0], nowSeconds)
  }
}

function existingPartition(
  table: TableSchema,
  partition: PartitionData | undefined,
  nowSeconds: number,
): ExistingPartition {
  if (partition === undefined) return { staticRow: null, rows: [] }
  const { staticRow, rows } = partition
  return {
    staticRow: staticRow && new ExistingRow(table, Buffer.alloc(0), staticRow, nowSeconds),
    rows: rows.map(({ clustering, row }) => new ExistingRow(table, clustering, row, nowSeconds)),
  }
}

/** One slice for each clustering, ascending. */
function slicesOf(clusterings: readonly Buffer[]): Slice[] {
  const sorted = [...clusterings].sort(Buffer.compare)
  return sorted
    .filter((clustering, i) => i === 0 || !clustering.equals(sorted[i - 1]!))
    .map((clustering) => {
      const end = new ByteWriter(clustering.length + 1)
      end.bytes(clustering)
      end.uint8(AFTER_PREFIX)
      return { start: clustering, end: end.view() }
    })
}

/** Rows of several partitions by key and clustering. */
export class ExistingRows {
  readonly #partitions = new Map<string, ExistingPartition>()

  set(key: Uint8Array, partition: ExistingPartition): void {
    this.#partitions.set(Buffer.from(key).toString('latin1'), partition)
  }

  row(key: Uint8Array, clustering: Uint8Array): ExistingRow | null {
    const rows = this.#partitions.get(Buffer.from(key).toString('latin1'))?.rows ?? []
    return rows.find((row) => row.clustering.equals(clustering)) ?? null
  }

  staticRow(key: Uint8Array): ExistingRow | null {
    return this.#partitions.get(Buffer.from(key).toString('latin1'))?.staticRow ?? null
  }
}

/** Reads these rows of these partitions. */
export async function readRows(
  table: TableSchema,
  keys: readonly Buffer[],
  clusterings: readonly Buffer[],
  nowSeconds: number,
  read: PartitionReader,
): Promise<ExistingRows> {
  const rows = new ExistingRows()
  // The request's frame may be gone when a read is done.
  for (const key of keys.map((one) => Buffer.from(one))) {
    const partition = new PartitionRead(table, key, clusterings, nowSeconds)
    rows.set(key, await partition.finish(await read(partition.command), read))
  }
  return rows
}

/** Reads at the level of the write. */
export function readerOfWrite(keyspace: string, environment: Environment, options: QueryOptions): PartitionReader {
  const consistency = options.consistency === Consistency.ANY ? Consistency.ONE : options.consistency
  return (command) => environment.coordinator.read(command, consistency, keyspace)
}

export function nowSecondsOf(environment: Environment, options: QueryOptions): number {
  return options.nowSeconds ?? Math.floor(environment.wallMicros() / 1_000_000)
}

/** A write's level as that of a read that goes with it: there is none at ANY, nor at EACH_QUORUM. */
export function readLevelOf(consistency: number): number {
  if (consistency === Consistency.EACH_QUORUM) return Consistency.QUORUM
  return consistency === Consistency.ANY ? Consistency.ONE : consistency
}
