/**
 * The indexes of one table as the replica keeps them: which cells of a row give which terms. One walk over a row's bytes serves all.
 * Always: what a row gives when it is written and what it gives when it is read are told by the same code, so an entry is stale exactly when
 * its row does not give its term any more.
 */
import { DOT_BYTES } from '../../storage/model/causal/context.ts'
import { type RowReader, RowReader as Rows, VERSION_COLUMN_ID } from '../../storage/model/row.ts'
import { ByteReader } from '../base/bytes.ts'
import { type IndexTarget, isVectorIndex, targetOf } from '../schema/index-target.ts'
import { IndexTerms } from '../schema/index-term.ts'
import type { IndexSchema, TableSchema } from '../schema/table.ts'
import { isMultiCell } from '../types/names.ts'
import { decodeComponent } from '../types/ordered.ts'
import { splitPartitionKey } from '../types/partition-key.ts'

/** Takes the terms of a row. `expiresAt` (seconds since 1970) is 0 for what stays. */
export interface TermSink {
  term(index: StoredIndex, position: Buffer, expiresAt: number): void
}

/** An index whose entries lie in a table of their own. */
export interface StoredIndex {
  readonly schema: IndexSchema
  readonly table: TableSchema
  readonly target: IndexTarget
  readonly terms: IndexTerms
  /** Its entries name partitions, not rows: it is on a static column or on a part of the partition key. */
  readonly ofPartition: boolean
}

/** Where a row is: bytes of its partition key and of its clustering (empty for the static row). */
export interface RowPlace {
  readonly key: Buffer
  readonly clustering: Buffer
  readonly isStatic: boolean
}

/** Live whenever it is looked at. */
const ALWAYS = -1

/** The indexes of a table that have entries; those on vectors have none. */
export function storedIndexes(table: TableSchema): StoredIndex[] {
  const indexes: StoredIndex[] = []
  for (const schema of table.indexes.values()) {
    const target = targetOf(table, schema)
    if (target === null || isVectorIndex(schema, target)) continue
    const { kind } = target.column
    const ofPartition = kind === 'static' || kind === 'partition_key'
    indexes.push({ schema, table, target, terms: new IndexTerms(schema, target), ofPartition })
  }
  return indexes
}

export class RowTerms {
  readonly #table: TableSchema
  /** By column id. */
  readonly #byColumn: (readonly StoredIndex[] | undefined)[] = []
  readonly #ofKey: readonly StoredIndex[]
  readonly #ofClustering: readonly StoredIndex[]
  readonly #reader = new Rows()
  /** A row that keeps versions holds a row in each of them. */
  readonly #version = new Rows()

  constructor(table: TableSchema, indexes: readonly StoredIndex[]) {
    this.#table = table
    for (const index of indexes) {
      const { id } = index.target.column
      if (id >= 0) this.#byColumn[id] = [...(this.#byColumn[id] ?? []), index]
    }
    this.#ofKey = indexes.filter(({ target }) => target.column.kind === 'partition_key')
    this.#ofClustering = indexes.filter(({ target }) => target.column.kind === 'clustering')
  }

  /** Gives the terms of what a mutation writes to a row: of all that is not a deletion. */
  written(row: Buffer, start: number, end: number, place: RowPlace, sink: TermSink): void {
    this.#row(this.#reader.reset(row, start, end), place, ALWAYS, sink)
  }

  /** Gives the terms of a row as it is at a second. */
  live(row: Buffer, place: RowPlace, nowSeconds: number, sink: TermSink): void {
    this.#row(this.#reader.reset(row), place, nowSeconds, sink)
  }

  #row(reader: RowReader, place: RowPlace, nowSeconds: number, sink: TermSink): void {
    const keyExpiresAt = this.#walk(reader, nowSeconds, sink)
    if (keyExpiresAt >= 0) this.#keyTerms(place, keyExpiresAt, sink)
  }

  /** When the row's key goes: 0 if it stays, -1 if nothing keeps it. */
  #walk(reader: RowReader, nowSeconds: number, sink: TermSink): number {
    let keyExpiresAt = -1
    if (reader.hasLiveness && (nowSeconds === ALWAYS || reader.livenessIsLive(nowSeconds)))
      keyExpiresAt = reader.livenessTtl === 0 ? 0 : reader.livenessExpiresAt
    while (reader.next()) {
      if (reader.isTombstone || reader.isComplexDeletion) continue
      if (nowSeconds !== ALWAYS && !reader.isLive(nowSeconds)) continue
      const expiresAt = reader.isExpiring ? reader.localDeletionTime : 0
      if (expiresAt === 0 || keyExpiresAt < 0) keyExpiresAt = expiresAt
      else if (keyExpiresAt > 0 && expiresAt > keyExpiresAt) keyExpiresAt = expiresAt
      if (reader.columnId === VERSION_COLUMN_ID) {
        this.#walk(this.#version.reset(reader.buffer, reader.valueStart, reader.valueEnd), nowSeconds, sink)
        continue
      }
      const indexes = this.#byColumn[reader.columnId]
      if (indexes === undefined) continue
      for (let i = 0; i < indexes.length; i++) {
        const index = indexes[i]!
        sink.term(index, termOfCell(index, reader), expiresAt)
      }
    }
    return keyExpiresAt
  }

  #keyTerms(place: RowPlace, expiresAt: number, sink: TermSink): void {
    if (this.#ofKey.length > 0) {
      const values = splitPartitionKey(place.key, this.#table.partitionKey.length)
      for (const index of this.#ofKey)
        sink.term(index, index.terms.ofValue(values[index.target.column.position]!), expiresAt)
    }
    if (this.#ofClustering.length === 0 || place.isStatic) return
    const reader = new ByteReader(place.clustering)
    const values = this.#table.clustering.map(({ type, reversed }) => decodeComponent(type, reversed, reader))
    for (const index of this.#ofClustering)
      sink.term(index, index.terms.ofValue(values[index.target.column.position]!), expiresAt)
  }
}

function termOfCell({ target, terms }: StoredIndex, reader: RowReader): Buffer {
  const { buffer } = reader
  const { type } = target.column
  if (!isMultiCell(type)) return terms.ofValue(buffer.subarray(reader.valueStart, reader.valueEnd))
  // An element of an or-set column has its dot before its path.
  const path = buffer.subarray(reader.isDotted ? reader.pathStart + DOT_BYTES : reader.pathStart, reader.pathEnd)
  if (type.kind === 'set' || target.part === 'keys') return terms.ofPath(path)
  const value = buffer.subarray(reader.valueStart, reader.valueEnd)
  return target.part === 'entries' ? terms.ofEntryAtPath(path, value) : terms.ofValue(value)
}
