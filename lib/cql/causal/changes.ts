/**
 * What an ordinary statement would write, as causal writes: an INSERT's row is a version, an UPDATE's is merged into the version that it goes on from,
 * changes of or-set columns stand apart from both, and a deletion is one of a row that was seen.
 * Source: storage/model/causal/delta.ts for what leaders make of it.
 */
import { coversDot, NO_CONTEXT } from '../../../storage/model/causal/context.ts'
import type { CausalWrite } from '../../../storage/model/causal/delta.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { EntryKind, MutationReader, MutationWriter, POSITION_HEAD_BYTES } from '../../../storage/model/mutation.ts'
import { compareTimestamps, RowReader } from '../../../storage/model/row.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { murmur3Token } from '../../base/hash/murmur3.ts'
import { orSetColumns } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'
import type { WriteTarget } from '../modify/modify-sink.ts'
import type { QueryOptions } from '../statement.ts'
import { type Resolver, resolverPlan, type Version } from './resolve.ts'

/** One row's causal write. The buffers are copies, or views that hold for this turn. */
export interface CausalChange {
  readonly key: Buffer
  readonly clustering: Buffer
  readonly write: CausalWrite
}

/** What of a row a change goes on from, and what it must be newer than. Copies. */
export interface Base {
  readonly row: Buffer
  readonly tsHigh: number
  readonly tsLow: number
}

/** The parts of a row that a statement writes. */
export interface RowParts {
  /** Null: only or-set columns are written. */
  readonly version: Buffer | null
  readonly sets: Buffer | null
  /** Every column that a version holds is written anew, and not all of them are removed. */
  readonly isComplete: boolean
}

/** Of one table; it serves all its statements one after another. */
export class ChangeMaker {
  readonly #isOrSet: readonly boolean[]
  readonly #hasOrSets: boolean
  /** Ids of the columns that a version holds. */
  readonly #held: ReadonlySet<number>
  readonly #resolver: Resolver | null
  readonly #state = new CausalRow()
  readonly #law = new LastWriteWins()
  readonly #reader = new RowReader()

  constructor(table: TableSchema) {
    const orSets = orSetColumns(table)
    const isOrSet: boolean[] = []
    for (const { id } of orSets) isOrSet[id] = true
    this.#isOrSet = isOrSet
    this.#hasOrSets = orSets.length > 0
    this.#held = new Set(table.regulars.filter((column) => !orSets.includes(column)).map(({ id }) => id))
    this.#resolver = resolverPlan(table)
  }

  /** The row that an ordinary statement wrote, in its parts. */
  partsOf(row: Buffer, keepsElements: boolean): RowParts {
    const reader = this.#reader.reset(row)
    let written = 0
    let isLive = reader.hasLiveness
    let isVersion = reader.hasLiveness
    let isSets = false
    let last = -1
    while (reader.next()) {
      const { columnId } = reader
      if (this.#isOrSet[columnId] === true) isSets = true
      else if (this.#held.has(columnId)) {
        isVersion = true
        isLive ||= !reader.isTombstone && !reader.isComplexDeletion
        // Paths alone, without what they replace, say nothing of the others.
        if (columnId !== last && (!reader.hasPath || reader.isComplexDeletion)) written++
      }
      last = columnId
    }
    // Of nothing but nulls there may be a row, for it was inserted.
    const isComplete = isLive && written === this.#held.size
    if (!isSets) return { version: isVersion ? row : null, sets: null, isComplete }
    const version = isVersion ? this.#cellsOf(row, false, false) : null
    return { version, sets: this.#cellsOf(row, true, keepsElements), isComplete }
  }

  /** The cells of or-set columns, or those of all others with the row's liveness; null: there are none. */
  #cellsOf(row: Buffer, ofSets: boolean, keepsElements: boolean): Buffer | null {
    const out = new ByteWriter(row.length)
    const writer = new RowWriter(out)
    const reader = this.#reader.reset(row)
    writer.begin()
    if (reader.hasLiveness && !ofSets)
      writer.liveness(reader.livenessTsHigh, reader.livenessTsLow, reader.livenessTtl, reader.livenessExpiresAt)
    while (reader.next()) {
      if ((this.#isOrSet[reader.columnId] === true) !== ofSets) continue
      if (keepsElements && reader.isComplexDeletion) continue
      writer.copyCell(reader)
    }
    if (writer.isEmpty) return null
    writer.end()
    return out.view()
  }

  /**
   * What a partial change goes on from: of the versions that the context has seen and that are still there, else of all that are, what the
   * table's resolvers make of them, else the newest. Null: there is none.
   */
  baseOf(row: Buffer, context: Buffer, nowSeconds: number): Base | null {
    const state = this.#state.reset(row, nowSeconds)
    const all: Version[] = []
    while (state.next()) all.push({ row: state.version, dot: state.dot, counter: state.counter })
    if (all.length === 0) return null
    const seen = context.length === 0 ? all : all.filter(({ dot }) => coversDot(context, dot, 0))
    let versions = seen.length === 0 ? all : seen
    if (this.#resolver !== null && versions.length > 1) versions = this.#resolver.resolve(versions, nowSeconds)
    const newest = versions.reduce((a, b) => (b.counter > a.counter ? b : a))
    return { row: Buffer.from(newest.row), ...this.#newestTime(newest.row) }
  }

  #newestTime(row: Buffer): { tsHigh: number; tsLow: number } {
    const reader = this.#reader.reset(row)
    let tsHigh = reader.hasLiveness ? reader.livenessTsHigh : -0x80000000
    let tsLow = reader.hasLiveness ? reader.livenessTsLow : 0
    while (reader.next())
      if (compareTimestamps(reader.tsHigh, reader.tsLow, tsHigh, tsLow) > 0) {
        tsHigh = reader.tsHigh
        tsLow = reader.tsLow
      }
    return { tsHigh, tsLow }
  }

  /** The version that a change makes of the one it goes on from. */
  merged(base: Base | null, version: Buffer): Buffer {
    if (base === null) return version
    const out = new ByteWriter(base.row.length + version.length)
    this.#law.merge(out, base.row, 0, base.row.length, version, 0, version.length)
    return out.view()
  }

  /** What a reader of the row has seen, a copy; null: it holds nothing. */
  contextOf(row: Buffer, nowSeconds: number): Buffer | null {
    const { context } = this.#state.reset(row, nowSeconds)
    return context.length === 0 ? null : Buffer.from(context)
  }

  /** Whether a reader sees anything of the row. */
  isLive(row: Buffer, nowSeconds: number): boolean {
    const state = this.#state.reset(row, nowSeconds)
    return state.next() || (this.#hasOrSets && state.elements() !== null)
  }
}

/** An entry of an ordinary mutation. */
export type OrdinaryEntry =
  | { readonly kind: 'row'; readonly key: Buffer; readonly clustering: Buffer; readonly row: Buffer }
  | { readonly kind: 'delete'; readonly key: Buffer; readonly clustering: Buffer }
  /** All rows of [start, end). */
  | { readonly kind: 'range'; readonly key: Buffer; readonly start: Buffer | null; readonly end: Buffer | null }

/** The partition key of a mutation. */
export function keyOf({ buffer, positionStart, positionEnd }: MutationReader): Buffer {
  return buffer.subarray(positionStart + POSITION_HEAD_BYTES, positionEnd)
}

/** Takes ordinary mutations apart; the buffers are views of them. */
export function entriesOf(mutations: readonly Buffer[], hasClustering: boolean): OrdinaryEntry[] {
  const entries: OrdinaryEntry[] = []
  const reader = new MutationReader()
  const row = new RowReader()
  for (const mutation of mutations) {
    reader.reset(mutation)
    const key = keyOf(reader)
    while (reader.next()) {
      const { kind, boundStart, boundEnd, valueStart, valueEnd } = reader
      const clustering = mutation.subarray(boundStart, boundEnd)
      if (kind === EntryKind.ROW) {
        const isDelete = row.reset(mutation, valueStart, valueEnd).hasDeletion
        entries.push(
          isDelete
            ? { kind: 'delete', key, clustering }
            : { kind: 'row', key, clustering, row: mutation.subarray(valueStart, valueEnd) },
        )
      } else if (kind === EntryKind.RANGE_TOMBSTONE)
        entries.push({
          kind: 'range',
          key,
          start: clustering,
          end: mutation.subarray(reader.rangeEndStart, reader.rangeEndEnd),
        })
      else if (kind === EntryKind.PARTITION_DELETION)
        entries.push(
          hasClustering
            ? { kind: 'range', key, start: null, end: null }
            : { kind: 'delete', key, clustering: NO_CONTEXT },
        )
    }
  }
  return entries
}

/** Puts changes together, those of one partition in one mutation. A single one is a view that holds until the next. */
export class ChangeWriter {
  readonly #writer = new MutationWriter()
  readonly #token = new Int32Array(2)

  mutations(target: WriteTarget, changes: readonly CausalChange[]): Buffer[] {
    if (changes.length === 1) return [this.#mutation(target, changes)]
    const byKey = new Map<string, CausalChange[]>()
    for (const change of changes) {
      const name = change.key.toString('latin1')
      const known = byKey.get(name)
      if (known === undefined) byKey.set(name, [change])
      else known.push(change)
    }
    return [...byKey.values()].map((ofKey) => Buffer.from(this.#mutation(target, ofKey)))
  }

  /** Of the row on which the reader of an ordinary mutation stands. A view that holds until the next. */
  single(ordinary: MutationReader, write: CausalWrite): Buffer {
    this.#writer.causalWriteOf(ordinary, write)
    return this.#writer.finish()
  }

  #mutation(target: WriteTarget, changes: readonly CausalChange[]): Buffer {
    this.#begin(target, changes[0]!.key)
    for (const { clustering, write } of changes) this.#writer.causalWrite(clustering, write)
    return this.#writer.finish()
  }

  #begin(target: WriteTarget, key: Buffer): void {
    murmur3Token(key, 0, key.length, this.#token)
    this.#writer.begin(target.id, this.#token[0]!, this.#token[1]!, key)
  }

  /** The mutation of rows that are made already, deltas. A copy. */
  rowsMutation(
    target: WriteTarget,
    key: Buffer,
    rows: readonly { readonly clustering: Buffer; readonly row: Buffer }[],
  ): Buffer {
    this.#begin(target, key)
    for (const { clustering, row } of rows) {
      const reader = new RowReader().reset(row)
      this.#writer.beginRow(clustering)
      this.#writer.row.copyHead(reader)
      while (reader.next()) this.#writer.row.copyCell(reader)
      this.#writer.endRow()
    }
    return Buffer.from(this.#writer.finish())
  }
}

/** The request's values are views of its frame, which is gone after a turn. */
export function keepValues(options: QueryOptions): QueryOptions {
  return { ...options, values: options.values.map((value) => (Buffer.isBuffer(value) ? Buffer.from(value) : value)) }
}
