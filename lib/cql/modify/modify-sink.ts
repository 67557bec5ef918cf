/**
 * Where statements write to: gathers the mutations of one request, with the time and TTL that go with them. One sink serves all
 * requests one after another, so that a write allocates next to nothing.
 * Source: Cassandra's Attributes and UpdateParameters for the rules of timestamps and TTLs.
 * Always: a sink is used from `start` to `take` without a turn of the event loop in between.
 */

import { COUNTER_DELETION, DELTA_PATH } from '../../../storage/model/counter.ts'
import { MutationWriter } from '../../../storage/model/mutation.ts'
import type { CellBytes } from '../../../storage/model/row.ts'
import { ByteWriter, equalBytes } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { murmur3Token } from '../../base/hash/murmur3.ts'
import { Histogram } from '../../base/histogram.ts'
import { uuidBytes } from '../../base/uuid.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import { checkIndexedCell, checkIndexedValue, INDEXED_BYTES, INDEXED_BYTES_NEAR } from './indexed-values.ts'
import { PathCells } from './path-cells.ts'

/** Half of a commit log segment of 32 MiB, as Cassandra's default. */
const MUTATION_BYTES_MAX = 16 * 1024 * 1024

/** A writer that has grown beyond this is given up, so that one large write does not hold its memory for ever. */
const WRITER_BYTES_KEPT = 1024 * 1024

/** Stands for the clustering of the static row. */
const STATIC: Uint8Array = new Uint8Array(0)

/** A table as writes need it: names and ids looked up when the statement was compiled. */
export interface WriteTarget {
  readonly table: TableSchema
  /** 16 bytes. */
  readonly id: Buffer
}

export function writeTarget(table: TableSchema): WriteTarget {
  return { table, id: uuidBytes(table.id) }
}

export class MutationSink {
  /** The request's timestamp (µs), in signed halves: of the statement, its batch, the client or the clock. */
  timestampHigh = 0
  timestampLow = 0
  /** Seconds since 1970. */
  nowSeconds = 0
  /** Seconds; 0: the data does not expire. */
  ttl = 0
  expiresAt = 0
  /** Counted by batches. */
  readonly partitionsPerBatch = { logged: new Histogram(), unlogged: new Histogram(), counter: new Histogram() }
  /** Encodes clusterings; whoever uses it resets it first. */
  readonly clustering = new ByteWriter(128)
  /** Gathers the cells of a collection; whoever uses it resets it first. */
  readonly pathCells = new PathCells()

  #writer = new MutationWriter()
  #writerBytes = 0
  readonly #token = new Int32Array(2)
  #finished: Buffer[] = []
  /** Of each mutation begun, the open one included. */
  #targets: WriteTarget[] = []
  #key: Buffer | null = null
  #requestHigh = 0
  #requestLow = 0
  /** A row that was begun but holds nothing yet: its clustering, or STATIC. */
  #pending: Uint8Array | null = null

  /** Begins a request: nothing is written yet, and the time is that of its options. */
  start(environment: Environment, options: QueryOptions): void {
    this.#finished = []
    this.#targets = []
    this.#key = null
    this.#pending = null
    if (this.#writerBytes > WRITER_BYTES_KEPT) this.#writer = new MutationWriter()
    this.#writerBytes = 0
    const { timestamp } = options
    if (timestamp === null) this.#setRequestTime(environment.timestampMicros())
    else {
      this.#requestHigh = timestamp.high
      this.#requestLow = timestamp.low
    }
    this.timestampHigh = this.#requestHigh
    this.timestampLow = this.#requestLow
    this.nowSeconds = options.nowSeconds ?? Math.floor(environment.wallMicros() / 1_000_000)
    this.ttl = 0
    this.expiresAt = 0
  }

  #setRequestTime(micros: number): void {
    const low = micros % 4294967296
    this.#requestLow = low | 0
    this.#requestHigh = (micros - low) / 4294967296
  }

  /** Makes a timestamp that of all statements that have none of their own. */
  setRequestTimestamp(high: number, low: number): void {
    this.#requestHigh = high
    this.#requestLow = low
  }

  /** Makes the next statement one of the request's timestamp and without TTL. */
  useRequestTime(): void {
    this.useRequestTimestamp()
    this.ttl = 0
  }

  useRequestTimestamp(): void {
    this.timestampHigh = this.#requestHigh
    this.timestampLow = this.#requestLow
  }

  setTtl(ttl: number): void {
    this.ttl = ttl
    this.expiresAt = this.nowSeconds + ttl
  }

  /** Begins the mutation of a partition, or goes on with it. The key is valid until `take`. */
  partition(target: WriteTarget, key: Buffer): void {
    if (this.#key !== null) {
      const { table } = this.#targets[this.#targets.length - 1]!
      if (table.id === target.table.id && equalBytes(this.#key, key)) return
      this.#finished.push(Buffer.from(this.#finish()))
    }
    this.#key = key
    this.#targets.push(target)
    murmur3Token(key, 0, key.length, this.#token)
    this.#writer.begin(target.id, this.#token[0]!, this.#token[1]!, key)
  }

  partitionDeletion(): void {
    this.#writer.partitionDeletion(this.timestampHigh, this.timestampLow, this.nowSeconds)
  }

  rangeTombstone(start: Buffer, end: Buffer): void {
    this.#writer.rangeTombstone(start, end, this.timestampHigh, this.timestampLow, this.nowSeconds)
  }

  /** Begins a row; it is written only if something is put into it before endRow. The clustering is valid until then. */
  beginRow(clustering: Uint8Array): void {
    this.#pending = clustering
  }

  beginStaticRow(): void {
    this.#pending = STATIC
  }

  #openRow(clustering: Uint8Array): void {
    this.#pending = null
    if (clustering === STATIC) this.#writer.beginStaticRow()
    else this.#writer.beginRow(clustering)
  }

  endRow(): void {
    if (this.#pending !== null) this.#pending = null
    else this.#writer.endRow()
  }

  liveness(): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    this.#writer.row.liveness(this.timestampHigh, this.timestampLow, this.ttl, this.expiresAt)
  }

  rowDeletion(): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    this.#writer.row.deletion(this.timestampHigh, this.timestampLow, this.nowSeconds)
  }

  cell(columnId: number, value: Uint8Array): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    if (value.length >= INDEXED_BYTES) checkIndexedValue(this.#table(), columnId, value.length)
    if (this.ttl === 0) this.#writer.row.cell(columnId, this.timestampHigh, this.timestampLow, value)
    else this.#writer.row.expiringCell(columnId, this.timestampHigh, this.timestampLow, this.ttl, this.expiresAt, value)
  }

  tombstone(columnId: number): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    this.#writer.row.tombstone(columnId, this.timestampHigh, this.timestampLow, this.nowSeconds)
  }

  /** A cell with that path and value. */
  pathCell(columnId: number, from: CellBytes): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    const bytes = from.pathEnd - from.pathStart + (from.valueEnd - from.valueStart)
    if (bytes >= INDEXED_BYTES_NEAR) checkIndexedCell(this.#table(), columnId, from, false)
    this.#writer.row.pathCellOf(from, columnId, this.timestampHigh, this.timestampLow, this.ttl, this.expiresAt)
  }

  /** Removes the cell with that path. */
  pathTombstone(columnId: number, from: CellBytes): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    const bytes = from.pathEnd - from.pathStart
    if (bytes >= INDEXED_BYTES) checkIndexedCell(this.#table(), columnId, from, true)
    this.#writer.row.pathTombstoneOf(from, columnId, this.timestampHigh, this.timestampLow, this.nowSeconds)
  }

  /** What the leader of a counter adds to it. */
  counterDelta(columnId: number, delta: Uint8Array): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    this.#writer.row.pathCell(columnId, DELTA_PATH, this.timestampHigh, this.timestampLow, delta)
  }

  /** Removes a counter, for good. */
  counterDeletion(columnId: number): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    this.#writer.row.complexDeletion(columnId, COUNTER_DELETION.high, COUNTER_DELETION.low, this.nowSeconds)
  }

  /** Removes what a collection held; `before`: only what is older than this write, which then adds to it. */
  complexDeletion(columnId: number, before: boolean): void {
    if (this.#pending !== null) this.#openRow(this.#pending)
    const { timestampHigh: high, timestampLow: low } = this
    if (!before) this.#writer.row.complexDeletion(columnId, high, low, this.nowSeconds)
    else if (low === 0) this.#writer.row.complexDeletion(columnId, (high - 1) | 0, -1, this.nowSeconds)
    else this.#writer.row.complexDeletion(columnId, high, (low - 1) | 0, this.nowSeconds)
  }

  /** All mutations since `start`: the last one is a view that holds until the next `start`. */
  take(): Buffer[] {
    if (this.#key === null) return this.#finished
    this.#key = null
    const last = this.#finish()
    if (this.#finished.length === 0) return [last]
    this.#finished.push(last)
    return this.#finished
  }

  /** Table of each mutation that `take` gave, in the same order. */
  targets(): readonly WriteTarget[] {
    return this.#targets
  }

  #finish(): Buffer {
    const mutation = this.#writer.finish()
    if (mutation.length > WRITER_BYTES_KEPT) this.#checkSize(mutation.length)
    return mutation
  }

  /** Of the mutation that is open. */
  #table(): TableSchema {
    return this.#targets[this.#targets.length - 1]!.table
  }

  #checkSize(size: number): void {
    this.#writerBytes = size
    if (size <= MUTATION_BYTES_MAX) return
    const table = this.#table()
    throw invalid(
      `Encountered an oversized mutation (${size}/${MUTATION_BYTES_MAX}) for keyspace: ${table.keyspace}. Top keys are: ${table.name}`,
    )
  }
}
