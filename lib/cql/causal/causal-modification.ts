/**
 * INSERT, UPDATE and DELETE on a vector-clock table. What the statement would write to a table of timestamps is made as ever, and turned into causal
 * writes, which a leader turns into versions. Source: VCLOCK tables in docs/consistency.md.
 * Always: a write has seen what its USING VCLOCK says and nothing else; a DELETE without it has seen what a read at its level finds.
 */
import { NO_CONTEXT } from '../../../storage/model/causal/context.ts'
import type { CausalWrite } from '../../../storage/model/causal/delta.ts'
import { ALL_ROWS, type ReadCommand, type ReadResult, RowData } from '../../../storage/model/command.ts'
import { EntryKind, MutationReader } from '../../../storage/model/mutation.ts'
import { compareTimestamps } from '../../../storage/model/row.ts'
import { invalid } from '../../base/errors.ts'
import { encodePosition } from '../../types/partition-key.ts'
import { checkWriteConsistency, Modification, type ModificationParts, VOID_RESULT } from '../modify/modify.ts'
import { type ExistingRows, nowSecondsOf, readLevelOf } from '../modify/modify-read.ts'
import type { MutationSink } from '../modify/modify-sink.ts'
import type { StatementResult } from '../result.ts'
import { sliceOfRow } from '../select/select-keys.ts'
import { type Environment, type MaybePromise, type QueryOptions, UNSET } from '../statement.ts'
import type { Variables } from '../terms/terms.ts'
import { executeCausalConditional } from './causal-cas.ts'
import {
  type Base,
  type CausalChange,
  ChangeMaker,
  ChangeWriter,
  entriesOf,
  keepValues,
  keyOf,
  type OrdinaryEntry,
} from './changes.ts'
import type { CausalClauses } from './clauses.ts'
import { ContextSeal } from './context-blob.ts'

/** Rows of a range that are deleted at once. */
const DELETED_AT_ONCE = 500

/** The plan of such a statement, alone, in a batch, and with IF VCLOCK. */
export class CausalModification extends Modification {
  readonly #parts: ModificationParts
  readonly #clauses: CausalClauses
  readonly #sink: MutationSink
  readonly #maker: ChangeMaker
  readonly #writer = new ChangeWriter()
  readonly #seal: ContextSeal
  /** Elements of lists are looked up by their place: the row has to be read before. */
  readonly #needsRow: boolean
  readonly #deletesRows: boolean
  readonly #isOfOneRow: boolean
  readonly #ordinaryReader = new MutationReader()

  constructor(parts: ModificationParts, clauses: CausalClauses, variables: Variables, sink: MutationSink) {
    super(parts, variables, sink)
    const { target, kind, regulars } = parts
    this.#parts = parts
    this.#clauses = clauses
    this.#sink = sink
    this.#maker = new ChangeMaker(target.table)
    this.#seal = new ContextSeal(target.id)
    this.#needsRow = kind !== 'INSERT' && regulars.some((write) => write.needsRead)
    this.#deletesRows = kind === 'DELETE' && regulars.length === 0
    this.#isOfOneRow = parts.rowKey !== null && !this.#needsRow && !this.#deletesRows
  }

  override get isConditional(): boolean {
    return this.#clauses.ifVclock !== null
  }

  override execute(environment: Environment, options: QueryOptions): MaybePromise<StatementResult> {
    this.validate()
    if (this.isConditional)
      return executeCausalConditional([{ modification: this, options }], false, environment, options)
    checkWriteConsistency(options.consistency)
    if (this.#isOfOneRow) {
      const done = this.#writeRow(environment, options)
      if (done !== null) return done
    }
    const seen = this.#blob(this.#clauses.vclock, environment, options)
    if (this.#deletesRows && seen === null) return this.#deleteFound(environment, options)
    const changes = this.changes(environment, options)
    if (changes instanceof Promise) return changes.then((made) => this.#write(made, environment, options, []))
    return this.#write(changes, environment, options, [])
  }

  /** The way of most writes: one row, of which nothing has to be known before. Null: something has. */
  #writeRow(environment: Environment, options: QueryOptions): MaybePromise<StatementResult> | null {
    const mutations = this.#ordinary(environment, options, null, null)
    const ordinary = this.#ordinaryReader
    if (mutations.length !== 1 || !ordinary.reset(mutations[0]!).next() || ordinary.kind !== EntryKind.ROW) return null
    const mutation = mutations[0]!
    const { vclock } = this.#clauses
    const seen = vclock === null ? null : vclock.bind(options, environment)
    let context: Buffer | null = null
    const clustering = mutation.subarray(ordinary.boundStart, ordinary.boundEnd)
    if (seen !== null && seen !== UNSET && seen.length > 0) context = this.#seal.open(seen, keyOf(ordinary), clustering)
    const isInsert = this.#parts.kind === 'INSERT'
    const row = mutation.subarray(ordinary.valueStart, ordinary.valueEnd)
    const { version, sets, isComplete } = this.#maker.partsOf(row, isInsert && context === null)
    if (version !== null && !isInsert && !isComplete) return null
    const request = this.#writer.single(ordinary, { context, version, sets })
    const warnings: string[] = []
    const done = environment.coordinator.write([request], 'CAUSAL', options.consistency, this.keyspace, warnings)
    return done === undefined ? voidResult(warnings) : done.then(() => voidResult(warnings))
  }

  #write(
    changes: readonly CausalChange[],
    environment: Environment,
    options: QueryOptions,
    warnings: string[],
  ): MaybePromise<StatementResult> {
    if (changes.length === 0) return voidResult(warnings)
    const mutations = this.#writer.mutations(this.target, changes)
    const done = environment.coordinator.write(mutations, 'CAUSAL', options.consistency, this.keyspace, warnings)
    return done === undefined ? voidResult(warnings) : done.then(() => voidResult(warnings))
  }

  async #deleteFound(environment: Environment, options: QueryOptions): Promise<StatementResult> {
    const warnings: string[] = []
    for await (const changes of this.#found(environment, options))
      await this.#write(changes, environment, options, warnings)
    return voidResult(warnings)
  }

  /** What the statement writes. At once unless rows have to be known; the buffers are views that hold for this turn then. */
  changes(environment: Environment, options: QueryOptions): MaybePromise<readonly CausalChange[]> {
    const seen = this.#blob(this.#clauses.vclock, environment, options)
    if (this.#deletesRows && seen === null) return this.#allFound(environment, options)
    if (this.#needsRow) return this.#changesAfterRead(seen, environment, options)
    const entries = this.#entries(environment, options, null, null)
    const changes: CausalChange[] = []
    for (const entry of entries) {
      const change = this.#change(entry, this.#contextOf(seen, entry), null)
      if (change === null) return this.#changesAfterRead(seen, environment, options)
      changes.push(change)
    }
    return changes
  }

  /** What was handed back with USING or IF VCLOCK, a copy; null: nothing was. */
  #blob(value: CausalClauses['vclock'], environment: Environment, options: QueryOptions): Buffer | null {
    const bytes = value === null ? null : value.bind(options, environment)
    return bytes === null || bytes === UNSET || bytes.length === 0 ? null : Buffer.from(bytes)
  }

  #contextOf(seen: Buffer | null, entry: OrdinaryEntry): Buffer | null {
    if (seen === null) return null
    if (entry.kind === 'range')
      throw invalid(
        'A vclock is of one row: USING VCLOCK is not supported where a range of rows or a partition is deleted',
      )
    return this.#seal.open(seen, entry.key, entry.clustering)
  }

  /** What the statement would write to a table of timestamps, newer than `after`. */
  #entries(
    environment: Environment,
    options: QueryOptions,
    rows: ExistingRows | null,
    after: Pick<Base, 'tsHigh' | 'tsLow'> | null,
  ): OrdinaryEntry[] {
    return entriesOf(this.#ordinary(environment, options, rows, after), this.target.table.clustering.length > 0)
  }

  #ordinary(
    environment: Environment,
    options: QueryOptions,
    rows: ExistingRows | null,
    after: Pick<Base, 'tsHigh' | 'tsLow'> | null,
  ): Buffer[] {
    const sink = this.#sink
    // The client's timestamp has no say in what is newer.
    sink.start(environment, options.timestamp === null ? options : { ...options, timestamp: null })
    if (
      after !== null &&
      compareTimestamps(sink.timestampHigh, sink.timestampLow >>> 0, after.tsHigh, after.tsLow) <= 0
    )
      sink.setRequestTimestamp(
        after.tsLow === 0xffffffff ? after.tsHigh + 1 : after.tsHigh,
        after.tsLow === 0xffffffff ? 0 : after.tsLow + 1,
      )
    this.addTo(sink, environment, options, rows)
    return sink.take()
  }

  /** Null: it has to be known what the change goes on from; `bases` knows. */
  #change(entry: OrdinaryEntry, context: Buffer | null, bases: Bases | null): CausalChange | null {
    const { key } = entry
    if (entry.kind !== 'row') {
      const clustering = entry.kind === 'range' ? NO_CONTEXT : entry.clustering
      return { key, clustering, write: { context, version: null, sets: null } }
    }
    const { clustering } = entry
    const isInsert = this.#parts.kind === 'INSERT'
    const parts = this.#maker.partsOf(entry.row, isInsert && context === null)
    let { version } = parts
    if (version !== null && !isInsert && !parts.isComplete) {
      if (bases === null) return null
      version = this.#maker.merged(bases.get(placeOf(key, clustering)) ?? null, version)
    }
    return { key, clustering, write: { context, version, sets: parts.sets } }
  }

  async #changesAfterRead(
    seen: Buffer | null,
    environment: Environment,
    options: QueryOptions,
  ): Promise<readonly CausalChange[]> {
    const kept = keepValues(options)
    const bases: Bases = new Map()
    const rows = await this.read(environment, kept, async (command) => {
      const result = await this.#read(command, environment, kept)
      return this.#basesOf(result, seen, command.nowSeconds, bases)
    })
    const entries = this.#entries(environment, kept, rows, newest(bases))
    return entries.map((entry) => copied(this.#change(entry, this.#contextOf(seen, entry), bases)!))
  }

  /** The rows as the statement goes on from them. */
  #basesOf(result: ReadResult, seen: Buffer | null, nowSeconds: number, bases: Bases): ReadResult {
    const partitions = result.partitions.map((partition) => {
      const key = Buffer.from(partition.key)
      const rows: RowData[] = []
      for (const { clustering, row } of partition.rows) {
        const context = seen === null ? NO_CONTEXT : this.#seal.open(seen, key, clustering)
        const base = this.#maker.baseOf(row, context, nowSeconds)
        if (base === null) continue
        bases.set(placeOf(key, clustering), base)
        rows.push(RowData.of(Buffer.from(clustering), base.row))
      }
      return { ...partition, rows }
    })
    return { ...result, partitions }
  }

  #read(command: ReadCommand, environment: Environment, options: QueryOptions): MaybePromise<ReadResult> {
    return environment.coordinator.read(command, readLevelOf(options.consistency), this.keyspace)
  }

  async #allFound(environment: Environment, options: QueryOptions): Promise<readonly CausalChange[]> {
    const all: CausalChange[] = []
    for await (const changes of this.#found(environment, options)) all.push(...changes)
    return all
  }

  /** Deletions of the rows that are there, each of what a read finds of it. */
  async *#found(environment: Environment, options: QueryOptions): AsyncGenerator<readonly CausalChange[]> {
    const kept = keepValues(options)
    const nowSeconds = nowSecondsOf(environment, kept)
    const { table } = this.target
    const entries = this.#entries(environment, kept, null, null).map(copiedEntry)
    for (const entry of entries) {
      let slices: ReadCommand['slices'] = null
      if (entry.kind !== 'range') slices = table.clustering.length === 0 ? null : [sliceOfRow(entry.clustering)]
      else if (entry.start !== null && entry.end !== null) slices = [{ start: entry.start, end: entry.end }]
      const position = encodePosition(entry.key, new Int32Array(2))
      let after: ReadCommand['after'] = null
      for (;;) {
        const result: ReadResult = await this.#read(
          {
            ...ALL_ROWS,
            table: table.id,
            target: { kind: 'partition', position },
            slices,
            nowSeconds,
            limit: DELETED_AT_ONCE,
            after,
          },
          environment,
          kept,
        )
        const rows = result.partitions[0]?.rows ?? []
        yield rows.flatMap(({ clustering, row }): CausalChange[] => {
          const context = this.#maker.contextOf(row, nowSeconds)
          const write = { context, version: null, sets: null }
          return context === null ? [] : [{ key: entry.key, clustering: Buffer.from(clustering), write }]
        })
        const last = rows[rows.length - 1]
        if (!result.more || last === undefined || table.clustering.length === 0) break
        after = { position, clustering: Buffer.from(last.clustering), partitionDone: false, rowsGiven: rows.length }
      }
    }
  }

  /** What it does of a conditional write, which is decided on when its row is known. The values of the options stay. */
  conditionalPart(key: Buffer, environment: Environment, options: QueryOptions): ConditionalPart {
    const { vclock, ifVclock } = this.#clauses
    if (ifVclock === null && this.#parts.rowKey === null)
      throw invalid(
        'Beside IF VCLOCK a batch writes and deletes rows by their whole primary keys: no ranges, and no IN',
      )
    const clustering = this.writesRow || !this.#deletesRows ? this.onlyClustering(environment, options) : null
    if (clustering === null)
      throw invalid(
        ifVclock !== null
          ? 'IF VCLOCK needs the whole primary key: a vclock is of one row'
          : 'Beside IF VCLOCK a batch writes and deletes rows by their whole primary keys: no partitions',
      )
    if (ifVclock?.bind(options, environment) === UNSET) throw invalid("Invalid 'unset' value in condition")
    const blob = this.#blob(ifVclock ?? vclock, environment, options)
    const context = blob === null ? null : this.#seal.open(blob, key, clustering)
    return { modification: this, options, key, clustering, isCondition: ifVclock !== null, blob, context }
  }

  /** The vclock of a row of which that much was seen. */
  sealed({ key, clustering }: ConditionalPart, context: Buffer): Buffer {
    return this.#seal.seal(key, clustering, context)
  }

  /** Of the row as it is, null: there is none; `context`: what the write has seen. Null: there is nothing to delete. */
  async decidedWrite(
    state: Buffer | null,
    context: Buffer | null,
    { key, clustering, isCondition, blob, options }: ConditionalPart,
    environment: Environment,
  ): Promise<CausalWrite | null> {
    const nowSeconds = nowSecondsOf(environment, options)
    if (this.#deletesRows && context === null) {
      const found = state === null ? null : this.#maker.contextOf(state, nowSeconds)
      return found === null ? null : { context: found, version: null, sets: null }
    }
    const bases: Bases = new Map()
    const rows = state === null ? [] : [RowData.of(clustering, state)]
    const partitions = state === null ? [] : [{ position: NO_CONTEXT, key, staticRow: null, rows }]
    const result: ReadResult = { partitions, more: false, tombstones: 0 }
    const based = this.#basesOf(result, isCondition ? null : blob, nowSeconds, bases)
    const existing = this.#needsRow ? await this.read(environment, options, () => based) : null
    const [entry] = this.#entries(environment, options, existing, newest(bases))
    // Other statements of this plan have turns before the decision is made.
    return entry === undefined ? null : copied(this.#change(entry, context, bases)!).write
  }
}

/** A statement of a conditional write. */
export interface ConditionalPart {
  readonly modification: CausalModification
  readonly options: QueryOptions
  readonly key: Buffer
  readonly clustering: Buffer
  /** The blob is that of IF VCLOCK, else that of USING VCLOCK; null: nothing was seen. */
  readonly isCondition: boolean
  readonly blob: Buffer | null
  readonly context: Buffer | null
}

type Bases = Map<string, Base>

function placeOf(key: Buffer, clustering: Buffer): string {
  return `${key.toString('latin1')}/${clustering.toString('latin1')}`
}

/** What all that is written must be newer than; null: nothing. */
function newest(bases: Bases): Base | null {
  let found: Base | null = null
  for (const base of bases.values())
    if (found === null || compareTimestamps(base.tsHigh, base.tsLow, found.tsHigh, found.tsLow) > 0) found = base
  return found
}

function copiedEntry(entry: OrdinaryEntry): OrdinaryEntry {
  const key = Buffer.from(entry.key)
  if (entry.kind !== 'range') return { ...entry, key, clustering: Buffer.from(entry.clustering) }
  return { ...entry, key, start: entry.start && Buffer.from(entry.start), end: entry.end && Buffer.from(entry.end) }
}

/** Others use the sink before a promise of it is looked at. */
export function copied({ key, clustering, write: { context, version, sets } }: CausalChange): CausalChange {
  const write = { context, version: version && Buffer.from(version), sets: sets && Buffer.from(sets) }
  return { key: Buffer.from(key), clustering: Buffer.from(clustering), write }
}

function voidResult(warnings: readonly string[]): StatementResult {
  return warnings.length === 0 ? VOID_RESULT : { kind: 'void', warnings: [...new Set(warnings)] }
}
