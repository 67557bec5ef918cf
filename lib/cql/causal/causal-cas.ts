/**
 * IF VCLOCK, in a statement or in a batch: the rows are read, and only if none of those that a condition names holds anything that its context has
 * not seen, all is written at once. Source: Cassandra's conditional statements and batches, for what is answered.
 * Always: a batch names each row once, for two writes of one row that had not seen each other would leave what conditions are to prevent: siblings.
 */
import { coversContext, joinContexts, NO_CONTEXT } from '../../../storage/model/causal/context.ts'
import { type CausalWrite, deltaOf, lacksSeen } from '../../../storage/model/causal/delta.ts'
import type { Dots } from '../../../storage/model/causal/dots.ts'
import { isRefused, siblingLimit, siblingsAfter } from '../../../storage/model/causal/siblings.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../../storage/model/command.ts'
import { CausalVersions } from '../../../storage/model/merge.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { maxSiblingsOf } from '../../schema/resolution.ts'
import { Consistency } from '../../types/consistency.ts'
import { NATIVE } from '../../types/names.ts'
import { decodeClustering } from '../../types/ordered.ts'
import { encodePosition, splitPartitionKey } from '../../types/partition-key.ts'
import { checkConditionalConsistency, onlyPartition } from '../modify/modify-cas.ts'
import { nowSecondsOf } from '../modify/modify-read.ts'
import type { ColumnSpec, StatementResult } from '../result.ts'
import { resultMetadata } from '../result-metadata.ts'
import { sliceOfRow } from '../select/select-keys.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import type { CausalModification, ConditionalPart } from './causal-modification.ts'
import { ChangeMaker, ChangeWriter, keepValues } from './changes.ts'

/** One statement, with its own values. */
export interface CausalPart {
  readonly modification: CausalModification
  readonly options: QueryOptions
}

/** Executes statements on one table as one; at least one has a condition. */
export async function executeCausalConditional(
  statements: readonly CausalPart[],
  isBatch: boolean,
  environment: Environment,
  options: QueryOptions,
): Promise<StatementResult> {
  const kept = statements.map(({ modification, options: own }) => ({ modification, options: keepValues(own) }))
  const key = onlyPartition(kept, environment)
  const parts = kept.map((part) => part.modification.conditionalPart(key, environment, part.options))
  parts.sort((a, b) => Buffer.compare(a.clustering, b.clustering))
  if (parts.some(({ clustering }, i) => i > 0 && clustering.equals(parts[i - 1]!.clustering)))
    throw invalid(
      'Two statements of a batch with IF VCLOCK write the same row: neither would have seen the other. Write it by one statement',
    )
  const { table } = kept[0]!.modification.target
  checkConditionalConsistency(table, environment, options)
  return await new Decision(parts, isBatch, environment, options).run()
}

/** A version that was decided on, and what it was made with. */
interface Decided {
  readonly row: Buffer
  readonly dots: Dots
  readonly delta: Buffer
}

class Decision {
  readonly #parts: readonly ConditionalPart[]
  readonly #isBatch: boolean
  readonly #environment: Environment
  readonly #options: QueryOptions
  readonly #key: Buffer
  readonly #maker: ChangeMaker
  readonly #read: ReadCommand
  /** What the last decision was to write. */
  #decided: Decided[] = []
  #refusal: StatementResult | null = null

  constructor(parts: readonly ConditionalPart[], isBatch: boolean, environment: Environment, options: QueryOptions) {
    const { table } = parts[0]!.modification.target
    this.#parts = parts
    this.#isBatch = isBatch
    this.#environment = environment
    this.#options = options
    this.#key = parts[0]!.key
    this.#maker = new ChangeMaker(table)
    this.#read = {
      ...ALL_ROWS,
      table: table.id,
      target: { kind: 'partition', position: encodePosition(this.#key, new Int32Array(2)) },
      slices: table.clustering.length === 0 ? null : parts.map(({ clustering }) => sliceOfRow(clustering)),
      nowSeconds: nowSecondsOf(environment, options),
      // A row that was deleted says what its deletion has seen: it is a write, too, and others go on from it.
      whole: true,
    }
  }

  get #target(): CausalModification['target'] {
    return this.#parts[0]!.modification.target
  }

  async run(): Promise<StatementResult> {
    const { table } = this.#target
    const { consistency: commit, serialConsistency: serial } = this.#options
    let isApplied = true
    try {
      isApplied = await this.#environment.coordinator.cas({
        table: table.id,
        keyspace: table.keyspace,
        position: encodePosition(this.#key, new Int32Array(2)),
        serial,
        commit,
        read: this.#read,
        decide: (found) => this.#decide(found),
      })
    } finally {
      // Whoever does not know takes it for written.
      if (isApplied)
        for (const { row, dots, delta } of this.#decided)
          this.#environment.conditionalWrites.written(row, serial, dots, delta)
    }
    return isApplied ? this.#answer([]) : this.#refusal!
  }

  async #decide(found: ReadResult): Promise<readonly Buffer[] | null> {
    const rows = rowsOf(found)
    const states = this.#parts.map(({ clustering }) => rows.get(clustering.toString('latin1')) ?? null)
    this.#decided = []
    this.#refusal = null
    if (!this.#parts.every((part, i) => this.#holds(part, states[i]!))) {
      this.#refusal = this.#answer(states)
      return null
    }
    const deltas: { clustering: Buffer; row: Buffer }[] = []
    for (const [i, part] of this.#parts.entries()) {
      const delta = await this.#delta(part, states[i]!)
      if (delta !== null) deltas.push({ clustering: part.clustering, row: delta })
    }
    return deltas.length === 0 ? [] : [new ChangeWriter().rowsMutation(this.#target, this.#key, deltas)]
  }

  #holds({ isCondition, blob, context }: ConditionalPart, state: Buffer | null): boolean {
    if (!isCondition || state === null) return true
    const { nowSeconds } = this.#read
    if (blob === null) return !this.#maker.isLive(state, nowSeconds)
    return coversContext(context!, this.#maker.contextOf(state, nowSeconds) ?? NO_CONTEXT)
  }

  /** What the statement makes of the row; null: nothing. */
  async #delta(part: ConditionalPart, found: Buffer | null): Promise<Buffer | null> {
    const { isCondition, modification } = part
    let { context } = part
    let state = found
    if (isCondition) {
      const present = state === null ? null : this.#maker.contextOf(state, this.#read.nowSeconds)
      const seen = joinContexts(context ?? NO_CONTEXT, present ?? NO_CONTEXT)
      context = seen.length === 0 ? null : seen
    }
    let write = await modification.decidedWrite(state, context, part, this.#environment)
    if (write === null) return null
    if (lacksSeen(state, write)) {
      state = await this.#gathered(part, state)
      write = (await modification.decidedWrite(state, context, part, this.#environment))!
    }
    this.#checkSiblings(state, write)
    const { conditionalWrites } = this.#environment
    const { serialConsistency } = this.#options
    const row = this.#nameOf(part)
    const dots = conditionalWrites.dotsFor(row, serialConsistency, state)
    const delta = deltaOf(state, write, dots)
    this.#decided.push({ row, dots, delta })
    return delta
  }

  /** With what others than those who decide have of the row: the writer has seen it, and removes it. */
  async #gathered({ clustering }: ConditionalPart, state: Buffer | null): Promise<Buffer | null> {
    const { table } = this.#target
    const command = { ...this.#read, slices: table.clustering.length === 0 ? null : [sliceOfRow(clustering)] }
    const result = await this.#environment.coordinator.read(command, Consistency.ALL, table.keyspace)
    const theirs = rowsOf(result).get(clustering.toString('latin1'))
    if (theirs === undefined || state === null) return theirs ?? state
    const out = new ByteWriter(state.length + theirs.length)
    new CausalVersions().merge(out, state, 0, state.length, theirs, 0, theirs.length)
    return out.view()
  }

  /** Those with a condition leave none. */
  #checkSiblings(state: Buffer | null, write: CausalWrite): void {
    if (state === null) return
    const { keyspace, name, options } = this.#target.table
    const row = new CausalRow().reset(state, this.#read.nowSeconds)
    const before = row.count()
    const table = { name: `${keyspace}.${name}`, maxSiblings: maxSiblingsOf(options) }
    if (isRefused(table, before, siblingsAfter(row, before, write))) throw siblingLimit(table, before)
  }

  /** Of all rows there are. */
  #nameOf({ clustering }: ConditionalPart): Buffer {
    const length = Buffer.alloc(4)
    length.writeInt32BE(this.#key.length)
    return Buffer.concat([this.#target.id, length, this.#key, clustering])
  }

  /**
   * `[applied]`; where it is false also what the rows hold now: of a batch, those that its conditions name and that are there, each with its key.
   * `states`: those of the parts; none: it was applied.
   */
  #answer(states: readonly (Buffer | null)[]): StatementResult {
    const { table } = this.#target
    const { keyspace, name } = table
    const spec = (column: string, type: ColumnSpec['type']): ColumnSpec => ({
      keyspace,
      table: name,
      name: column,
      type,
    })
    const specs = [spec('[applied]', NATIVE.boolean)]
    const isRefused = states.length > 0
    const keys = [...table.partitionKey, ...table.clustering]
    if (isRefused && this.#isBatch) specs.push(...keys.map((column) => spec(column.name, column.type)))
    if (isRefused) specs.push(spec('[vclock]', NATIVE.blob))
    const out = new ByteWriter(64)
    let rowCount = 0
    for (const [i, part] of (isRefused ? this.#parts : [this.#parts[0]!]).entries()) {
      const state = states[i] ?? null
      if (isRefused && (!part.isCondition || state === null)) continue
      rowCount++
      putValue(out, Buffer.of(isRefused ? 0 : 1))
      if (!isRefused) continue
      if (this.#isBatch) for (const value of this.#keyValues(part)) putValue(out, value)
      const present = this.#maker.contextOf(state!, this.#read.nowSeconds)
      putValue(out, part.modification.sealed(part, present ?? NO_CONTEXT))
    }
    return { kind: 'rows', metadata: resultMetadata(specs), rowCount, rowBytes: out.view(), pagingState: null }
  }

  #keyValues({ clustering }: ConditionalPart): readonly (Buffer | null)[] {
    const { partitionKey, clustering: columns } = this.#target.table
    const partition = splitPartitionKey(this.#key, partitionKey.length)
    return [...partition, ...decodeClustering(columns, clustering)]
  }
}

function putValue(out: ByteWriter, value: Buffer | null): void {
  out.int32(value === null ? -1 : value.length)
  if (value !== null) out.bytes(value)
}

/** Copies. */
function rowsOf({ partitions }: ReadResult): Map<string, Buffer> {
  const rows = new Map<string, Buffer>()
  for (const { rows: those } of partitions)
    for (const { clustering, row } of those) rows.set(clustering.toString('latin1'), Buffer.from(row))
  return rows
}
