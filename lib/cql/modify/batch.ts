/**
 * BATCH, as text (BEGIN BATCH …) and as a message of its own: all mutations of the statements in one write, so that they are done together or
 * not at all. Source: CQL 3.4.7 "BATCH"; checks, their order and the words of warnings are those of Cassandra 5.0.
 */
import { invalid } from '../../base/errors.ts'
import { hashMapOrder } from '../../schema/java.ts'
import type { Schema } from '../../schema/keyspace.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import type { BatchStatement } from '../ast.ts'
import { executeCausalBatch } from '../causal/causal-batch.ts'
import { CausalModification } from '../causal/causal-modification.ts'
import type { ColumnSpec, StatementResult } from '../result.ts'
import type { CompiledStatement, Environment, MaybePromise, QueryOptions, WriteKind } from '../statement.ts'
import { Variables } from '../terms/terms.ts'
import { batchBytes, mayReach } from './batch-size.ts'
import { type Modification, toVoidResult, VOID_RESULT } from './modify.ts'
import { type Attributes, applyBatchTimestamp, compileAttributes } from './modify-attributes.ts'
import { executeConditional } from './modify-cas.ts'
import { compileModification } from './modify-compile.ts'
import { checkCounterConsistency } from './modify-counters.ts'
import type { ExistingRows } from './modify-read.ts'
import type { MutationSink } from './modify-sink.ts'

export type BatchType = BatchStatement['type']

/** One statement of a batch and the request's parameters with its own values. */
export interface BatchPart {
  readonly modification: Modification
  readonly options: QueryOptions
}

const NO_ATTRIBUTES: Attributes = { timestamp: null, timeToLive: null }

export function compileBatch(
  statement: BatchStatement,
  markers: readonly (string | null)[],
  schema: Schema,
  keyspace: string | null,
  sink: MutationSink,
): Batch {
  const variables = new Variables(markers)
  const scope = { schema, keyspace: '[batch]', variables }
  const attributes = compileAttributes(statement.using, '[batch]', '[batch]', scope)
  const modifications = statement.statements.map((part) => compileModification(part, variables, schema, keyspace, sink))
  const makeup = makeupOf(modifications)
  validateBatch(statement.type, attributes, modifications, makeup)
  return new Batch(statement.type, attributes, modifications, makeup, variables, sink)
}

/** What kinds of statements a batch is made of: looked at once, asked often. */
interface Makeup {
  readonly isConditional: boolean
  /** Some are on vector-clock tables. */
  readonly isCausal: boolean
  readonly hasTimestamps: boolean
  readonly hasCounters: boolean
  readonly hasOthers: boolean
  readonly hasVirtual: boolean
  readonly hasReal: boolean
  readonly needsRead: boolean
}

function makeupOf(modifications: readonly Modification[]): Makeup {
  let isConditional = false
  let isCausal = false
  let hasTimestamps = false
  let hasCounters = false
  let hasOthers = false
  let hasVirtual = false
  let hasReal = false
  let needsRead = false
  for (let i = 0; i < modifications.length; i++) {
    const modification = modifications[i]!
    if (modification.isConditional) isConditional = true
    if (modification instanceof CausalModification) isCausal = true
    if (modification.hasTimestamp) hasTimestamps = true
    if (modification.isCounter) hasCounters = true
    else hasOthers = true
    if (modification.target.table.isVirtual) hasVirtual = true
    else hasReal = true
    if (modification.needsRead) needsRead = true
  }
  return { isConditional, isCausal, hasTimestamps, hasCounters, hasOthers, hasVirtual, hasReal, needsRead }
}

/** BEGIN BATCH … APPLY BATCH. */
export class Batch implements CompiledStatement {
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  readonly resultMetadata = null
  readonly keyspace: string | null
  readonly table: string | null
  readonly modifications: readonly Modification[]
  readonly #type: BatchType
  readonly #attributes: Attributes
  readonly #makeup: Makeup
  readonly #sink: MutationSink

  constructor(
    type: BatchType,
    attributes: Attributes,
    modifications: readonly Modification[],
    makeup: Makeup,
    variables: Variables,
    sink: MutationSink,
  ) {
    const first = modifications[0]?.target.table
    const isOneTable = modifications.every((modification) => modification.target.table === first)
    this.variables = variables.specs()
    this.partitionKeyIndexes =
      first && isOneTable && !makeup.isConditional ? variables.partitionKeyIndexes(first.partitionKey.length) : []
    this.keyspace = first?.keyspace ?? null
    this.table = isOneTable ? (first?.name ?? null) : null
    this.modifications = modifications
    this.#type = type
    this.#attributes = attributes
    this.#makeup = makeup
    this.#sink = sink
  }

  execute(environment: Environment, options: QueryOptions): MaybePromise<StatementResult> {
    const parts = this.modifications.map((modification) => ({ modification, options }))
    return executeBatch(this.#type, this.#attributes, parts, this.#makeup, this.#sink, environment, options)
  }
}

/** The BATCH message: its statements come one by one, compiled already. */
export function executeBatchMessage(
  type: BatchType,
  parts: readonly BatchPart[],
  sink: MutationSink,
  environment: Environment,
  options: QueryOptions,
): MaybePromise<StatementResult> {
  const modifications = parts.map((part) => part.modification)
  const makeup = makeupOf(modifications)
  validateBatch(type, NO_ATTRIBUTES, modifications, makeup)
  return executeBatch(type, NO_ATTRIBUTES, parts, makeup, sink, environment, options)
}

/** What a batch may not be, whatever its values are. */
function validateBatch(
  type: BatchType,
  attributes: Attributes,
  modifications: readonly Modification[],
  { isConditional, hasTimestamps, hasCounters, hasOthers, hasVirtual, hasReal }: Makeup,
): void {
  if (attributes.timeToLive !== null) throw invalid('Global TTL on the BATCH statement is not supported.')
  const hasTimestamp = attributes.timestamp !== null
  if (hasTimestamp) {
    if (isConditional) throw invalid('Cannot provide custom timestamp for conditional BATCH')
    if (type === 'counter') throw invalid('Cannot provide custom timestamp for counter BATCH')
  }
  if (hasTimestamp && hasTimestamps) throw invalid('Timestamp must be set either on BATCH or individual statements')
  if (hasTimestamp && hasCounters) throw invalid('Cannot provide custom timestamp for a BATCH containing counters')
  if (type === 'counter' && hasOthers) throw invalid('Cannot include non-counter statement in a counter batch')
  if (hasCounters && hasOthers) throw invalid('Counter and non-counter mutations cannot exist in the same batch')
  if (type === 'logged' && hasCounters) throw invalid('Cannot include a counter statement in a logged batch')
  if (type === 'logged' && hasVirtual) throw invalid('Cannot include a virtual table statement in a logged batch')
  if (hasVirtual && hasReal) throw invalid('Mutations for virtual and regular tables cannot exist in the same batch')
  if (!isConditional) return
  if (hasVirtual) throw invalid('Conditional BATCH statements cannot include mutations for virtual tables')
  const first = modifications[0]!.target.table
  if (modifications.some((modification) => modification.target.table !== first))
    throw invalid('Batch with conditions cannot span multiple tables')
}

function executeBatch(
  type: BatchType,
  attributes: Attributes,
  parts: readonly BatchPart[],
  makeup: Makeup,
  sink: MutationSink,
  environment: Environment,
  options: QueryOptions,
): MaybePromise<StatementResult> {
  for (const part of parts) part.modification.validate()
  if (makeup.isCausal)
    return executeCausalBatch(type, attributes, parts, environment, options, (others) => {
      const needsRead = others.some((part) => part.modification.needsRead)
      return executeParts(type, attributes, others, needsRead, sink, environment, options)
    })
  if (makeup.isConditional) return executeConditional(parts, true, sink, environment, options)
  const { needsRead } = makeup
  if (!makeup.hasCounters) return executeParts(type, attributes, parts, needsRead, sink, environment, options)
  const counting = parts.find((part) => part.modification.isCounter)!
  checkCounterConsistency(counting.modification.target.table, options.consistency)
  const own = parts.map((part) => ({ ...part, options: { ...part.options, timestamp: null } }))
  return executeParts(type, attributes, own, needsRead, sink, environment, { ...options, timestamp: null })
}

function executeParts(
  type: BatchType,
  attributes: Attributes,
  parts: readonly BatchPart[],
  needsRead: boolean,
  sink: MutationSink,
  environment: Environment,
  options: QueryOptions,
): MaybePromise<StatementResult> {
  if (needsRead) return readAndWrite(type, attributes, parts, sink, environment, options)
  return write(type, attributes, parts, null, sink, environment, options)
}

async function readAndWrite(
  type: BatchType,
  attributes: Attributes,
  parts: readonly BatchPart[],
  sink: MutationSink,
  environment: Environment,
  options: QueryOptions,
): Promise<StatementResult> {
  const rows: (ExistingRows | null)[] = []
  for (const { modification, options: own } of parts)
    rows.push(modification.needsRead ? await modification.read(environment, own) : null)
  return write(type, attributes, parts, rows, sink, environment, options)
}

function write(
  type: BatchType,
  attributes: Attributes,
  parts: readonly BatchPart[],
  rows: readonly (ExistingRows | null)[] | null,
  sink: MutationSink,
  environment: Environment,
  options: QueryOptions,
): MaybePromise<StatementResult> {
  sink.start(environment, options)
  applyBatchTimestamp(attributes, sink, options, environment)
  try {
    for (let i = 0; i < parts.length; i++) {
      const { modification, options: own } = parts[i]!
      modification.addTo(sink, environment, own, rows === null ? null : rows[i]!)
    }
  } catch (error) {
    // What is wrong with any statement's key is said before what is wrong with a value.
    for (const { modification, options: own } of parts) modification.checkKeys(environment, own)
    throw error
  }
  const mutations = sink.take()
  if (mutations.length === 0) return VOID_RESULT
  const partitions = mutations.length === 1 ? 1 : countPartitions(mutations, sink)
  sink.partitionsPerBatch[type].record(partitions)
  const warnings = checkSizes(type, parts, mutations, partitions, sink, environment)
  const kind: WriteKind = parts[0]!.modification.isCounter
    ? 'COUNTER'
    : partitions === 1
      ? 'SIMPLE'
      : type === 'logged'
        ? 'BATCH'
        : 'UNLOGGED_BATCH'
  const keyspace = sink.targets()[0]!.table.keyspace
  const done = environment.coordinator.write(mutations, kind, options.consistency, keyspace)
  if (warnings.length === 0) return done === undefined ? VOID_RESULT : done.then(toVoidResult)
  const result: StatementResult = { kind: 'void', warnings }
  return done === undefined ? result : done.then(() => result)
}

/** Table id, before the position. */
const POSITION_AT = 16

/** Distinct partitions, by keyspace and key: what Cassandra calls a mutation. */
function countPartitions(mutations: readonly Buffer[], sink: MutationSink): number {
  const targets = sink.targets()
  const distinct = new Set<string>()
  for (let i = 0; i < mutations.length; i++) {
    const mutation = mutations[i]!
    const keyLength = mutation.readUInt16BE(POSITION_AT + 8)
    const position = mutation.toString('latin1', POSITION_AT, POSITION_AT + 10 + keyLength)
    distinct.add(`${targets[i]!.table.keyspace}/${position}`)
  }
  return distinct.size
}

/** Refuses a batch that is too large; otherwise what the client is to be warned of. */
function checkSizes(
  type: BatchType,
  parts: readonly BatchPart[],
  mutations: readonly Buffer[],
  partitions: number,
  sink: MutationSink,
  environment: Environment,
): string[] {
  const { limits } = environment
  const warnings: string[] = []
  if (type === 'logged') {
    const tables = tableNames(
      parts.filter(({ modification }) => modification.target.table.options.gcGraceSeconds === 0),
    )
    if (tables.length > 0)
      warnings.push(
        `Executing a LOGGED BATCH on table${plural(tables)} [${tables.join(', ')}], configured with a gc_grace_seconds of 0. The ` +
          'gc_grace_seconds is used to TTL batchlog entries, so setting gc_grace_seconds too low on tables involved in an atomic batch might ' +
          'cause batchlog entries to expire before being replayed.',
      )
  }
  if (partitions <= 1) return warnings
  const { batchSizeWarnBytes: threshold } = limits
  const size = threshold > 0 && mayReach(mutations, threshold) ? batchBytes(mutations, sink.targets()) : 0
  if (size > threshold) {
    if (limits.batchSizeFailBytes > 0 && size > limits.batchSizeFailBytes) throw invalid('Batch too large')
    warnings.push(
      `Batch for [${tableNames(parts).join(', ')}] is of size ${size}, exceeding specified threshold of ${threshold} by ${size - threshold}.`,
    )
  }
  if (type !== 'logged' && partitions > limits.unloggedBatchAcrossPartitionsWarn) {
    const tables = tableNames(parts)
    warnings.push(
      `Unlogged batch covering ${partitions} partitions detected against table${plural(tables)} [${tables.join(', ')}]. You should use a ` +
        'logged batch for atomicity, or asynchronous writes for performance.',
    )
  }
  return warnings
}

function plural(names: readonly string[]): string {
  return names.length === 1 ? '' : 's'
}

/** In the order in which Java's HashSet gives them. */
function tableNames(parts: readonly BatchPart[]): string[] {
  const names = parts.map(({ modification }) => {
    const { keyspace, name } = modification.target.table
    return `${quoteIdentifier(keyspace)}.${quoteIdentifier(name)}`
  })
  return hashMapOrder(new Set(names))
}
