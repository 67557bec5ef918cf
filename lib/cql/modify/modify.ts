/**
 * INSERT, UPDATE and DELETE, compiled: what is written, to which rows, at what time. insert.ts, update.ts and delete.ts make it from the text.
 * Source: CQL 3.4.7 "Data manipulation"; order of checks and messages are those of Cassandra 5.0.
 * Always: a request's changes are gathered in one pass without a turn of the event loop, so one sink serves all; rows that have to be read
 * first (elements of lists by index) are read before.
 */
import { invalid } from '../../base/errors.ts'
import { mandatoryColumn, marksRows, neverEmptyColumn } from '../../schema/compact.ts'
import { Consistency } from '../../types/consistency.ts'
import { encodeClustering } from '../../types/ordered.ts'
import type { ColumnSpec, StatementResult } from '../result.ts'
import type { CompiledStatement, Environment, MaybePromise, QueryOptions } from '../statement.ts'
import { SPELLING_COLUMN_ID, spellsKeys } from '../terms/key-spelling.ts'
import type { Variables } from '../terms/terms.ts'
import type { Restrictions } from '../where/restrictions.ts'
import { type Attributes, applyAttributes } from './modify-attributes.ts'
import { executeConditional } from './modify-cas.ts'
import type { Condition } from './modify-conditions.ts'
import { checkCounterConsistency } from './modify-counters.ts'
import { checkPartitionKey, NO_CLUSTERING, type RowKey } from './modify-keys.ts'
import type { ColumnWrite } from './modify-operations.ts'
import { type ExistingRows, nowSecondsOf, type PartitionReader, readerOfWrite, readRows } from './modify-read.ts'
import type { MutationSink, WriteTarget } from './modify-sink.ts'

export const VOID_RESULT: StatementResult = { kind: 'void' }

export function toVoidResult(): StatementResult {
  return VOID_RESULT
}

/** The parts of a modification, all names looked up. */
export interface ModificationParts {
  readonly kind: 'INSERT' | 'UPDATE' | 'DELETE'
  readonly target: WriteTarget
  readonly attributes: Attributes
  readonly condition: Condition | null
  /** One row by its key's terms; null: the restrictions say which. */
  readonly rowKey: RowKey | null
  readonly restrictions: Restrictions | null
  /** Some clustering column is given: rows are meant, else the partition as a whole (or a table without clustering columns). */
  readonly restrictsClustering: boolean
  readonly regulars: readonly ColumnWrite[]
  readonly statics: readonly ColumnWrite[]
}

export class Modification implements CompiledStatement {
  readonly variables: readonly ColumnSpec[]
  readonly partitionKeyIndexes: readonly number[]
  readonly resultMetadata = null
  readonly keyspace: string
  readonly table: string
  readonly target: WriteTarget
  /** The statement's IF; null: it has none. */
  readonly condition: Condition | null
  readonly hasTimestamp: boolean
  /** It has to know rows as they are: see `read`. */
  readonly needsRead: boolean
  /** Writes a row of its own, not just the static one. */
  readonly writesRow: boolean
  readonly writesStatics: boolean
  readonly #parts: ModificationParts
  readonly #sink: MutationSink
  readonly #hasAttributes: boolean
  /** The spelling of the row's key is kept with it. */
  readonly #spellsKey: boolean
  /** The clustering that no row has: that of an empty value; null: there is none. */
  readonly #noRow: Buffer | null
  /** The row is there from then on, whatever its cells become. */
  readonly #marksRow: boolean

  constructor(parts: ModificationParts, variables: Variables, sink: MutationSink) {
    const { table } = parts.target
    if (table.isCounter) {
      if (parts.attributes.timestamp !== null) throw invalid('Cannot provide custom timestamp for counter updates')
      if (parts.attributes.timeToLive !== null) throw invalid('Cannot provide custom TTL for counter updates')
    }
    this.variables = variables.specs()
    this.partitionKeyIndexes = variables.partitionKeyIndexes(table.partitionKey.length)
    this.keyspace = table.keyspace
    this.table = table.name
    this.target = parts.target
    this.condition = parts.condition
    this.hasTimestamp = parts.attributes.timestamp !== null
    this.#spellsKey = parts.kind !== 'DELETE' && parts.rowKey !== null && parts.restrictsClustering && spellsKeys(table)
    const neverEmpty = neverEmptyColumn(table)
    this.#noRow = neverEmpty && encodeClustering([neverEmpty], [NO_CLUSTERING])
    this.#marksRow = parts.kind === 'INSERT' && marksRows(table)
    this.needsRead =
      this.#spellsKey ||
      parts.regulars.some((write) => write.needsRead) ||
      parts.statics.some((write) => write.needsRead)
    this.#parts = parts
    this.#sink = sink
    this.#hasAttributes =
      this.hasTimestamp || parts.attributes.timeToLive !== null || table.options.defaultTimeToLive !== 0
    this.writesStatics = parts.statics.length > 0
    this.writesRow = table.clustering.length === 0 || parts.restrictsClustering
  }

  get isConditional(): boolean {
    return this.condition !== null
  }

  get isCounter(): boolean {
    return this.target.table.isCounter
  }

  execute(environment: Environment, options: QueryOptions): MaybePromise<StatementResult> {
    this.validate()
    if (this.condition !== null)
      return executeConditional([{ modification: this, options }], false, this.#sink, environment, options)
    if (this.isCounter) return this.executeCounter(environment, options)
    checkWriteConsistency(options.consistency)
    if (this.needsRead) return this.#readAndWrite(environment, options)
    return this.#write(environment, options, null)
  }

  /** At the time of the server. */
  executeCounter(environment: Environment, options: QueryOptions): MaybePromise<StatementResult> {
    checkCounterConsistency(this.target.table, options.consistency)
    const own = { ...options, timestamp: null }
    return this.needsRead ? this.#readAndWrite(environment, own) : this.#write(environment, own, null)
  }

  async #readAndWrite(environment: Environment, options: QueryOptions): Promise<StatementResult> {
    return this.#write(environment, options, await this.read(environment, options))
  }

  #write(environment: Environment, options: QueryOptions, rows: ExistingRows | null): MaybePromise<StatementResult> {
    const sink = this.#sink
    sink.start(environment, options)
    this.addTo(sink, environment, options, rows)
    const mutations = sink.take()
    if (mutations.length === 0) return VOID_RESULT
    const done = environment.coordinator.write(
      mutations,
      this.isCounter ? 'COUNTER' : 'SIMPLE',
      options.consistency,
      this.keyspace,
    )
    return done === undefined ? VOID_RESULT : done.then(toVoidResult)
  }

  /** Refuses what can be prepared but not executed. */
  validate(): void {
    const { kind, regulars, target } = this.#parts
    const { table } = target
    if (table.isVirtual) throw invalid(`Modification is not supported by table ${table.keyspace}.${table.name}`)
    if (kind !== 'INSERT' || regulars.length > 0) return
    const mandatory = mandatoryColumn(table)
    if (mandatory !== null) throw invalid(`Column ${mandatory.name} is mandatory for this COMPACT STORAGE table`)
  }

  /** The one partition of a statement that is, or stands beside, a conditional one. */
  onlyPartition(environment: Environment, options: QueryOptions): Buffer {
    const { kind, rowKey, restrictions } = this.#parts
    let key: Buffer
    if (rowKey !== null) key = rowKey.partitionKey(options, environment)
    else {
      if (restrictions!.partitionKeyTerms === null)
        throw invalid(`IN on the partition key is not supported with conditional ${conditionalText(kind)}`)
      key = restrictions!.partitionKeys(options, environment)[0]!
    }
    checkPartitionKey(key)
    return Buffer.from(key)
  }

  /** The clustering of the one row that the condition looks at; null: the static row (or the partition as a whole). */
  onlyClustering(environment: Environment, options: QueryOptions): Buffer | null {
    const { kind, rowKey, target } = this.#parts
    if (rowKey === null)
      throw invalid(`IN on the clustering key columns is not supported with conditional ${conditionalText(kind)}`)
    const clustering = Buffer.from(rowKey.clustering(this.#sink, options, environment))
    return clustering.length === 0 && target.table.clustering.length > 0 ? null : clustering
  }

  /** Adds all that this statement changes to the sink, whose request has been started. */
  addTo(sink: MutationSink, environment: Environment, options: QueryOptions, rows: ExistingRows | null): void {
    const { target, attributes, rowKey } = this.#parts
    if (rowKey === null) {
      this.#addRestricted(sink, environment, options, rows)
      return
    }
    const key = rowKey.partitionKey(options, environment)
    const clustering = rowKey.clustering(sink, options, environment)
    if (this.#hasAttributes) applyAttributes(attributes, sink, target.table, options, environment)
    else sink.useRequestTime()
    sink.partition(target, key)
    this.#addRow(sink, environment, options, key, clustering, rows)
  }

  #addRestricted(sink: MutationSink, environment: Environment, options: QueryOptions, rows: ExistingRows | null): void {
    const { target, attributes, restrictsClustering } = this.#parts
    const restrictions = this.#parts.restrictions!
    const keys = restrictions.partitionKeys(options, environment)
    const slices = restrictsClustering && restrictions.isColumnRange ? restrictions.slices(options, environment) : null
    const clusterings =
      slices === null && restrictsClustering ? restrictions.clusterings(options, environment) : [NO_CLUSTERING]
    if (slices === null ? clusterings.length === 0 : slices.length === 0) return
    applyAttributes(attributes, sink, target.table, options, environment)
    for (const key of keys) {
      checkPartitionKey(key)
      sink.partition(target, key)
      if (slices !== null) {
        this.#refuseColumnsOfRanges()
        for (const slice of slices) sink.rangeTombstone(slice.start, slice.end)
      } else for (const clustering of clusterings) this.#addRow(sink, environment, options, key, clustering, rows)
    }
  }

  #refuseColumnsOfRanges(): void {
    if (this.#parts.regulars.length > 0 || this.#parts.statics.length > 0)
      throw invalid('Range deletions are not supported for specific columns')
  }

  #addRow(
    sink: MutationSink,
    environment: Environment,
    options: QueryOptions,
    key: Buffer,
    clustering: Uint8Array,
    rows: ExistingRows | null,
  ): void {
    const { kind, regulars, statics, target } = this.#parts
    if (this.#noRow?.equals(clustering))
      throw invalid(`Invalid empty or null value for column ${target.table.clustering[0]!.name}`)
    if (kind === 'DELETE' && regulars.length === 0 && statics.length === 0) {
      if (clustering.length === 0) sink.partitionDeletion()
      else {
        sink.beginRow(clustering)
        sink.rowDeletion()
        sink.endRow()
      }
      return
    }
    if (this.writesRow) {
      sink.beginRow(clustering)
      if (this.#marksRow) sink.liveness()
      const row = rows === null ? null : rows.row(key, clustering)
      for (let i = 0; i < regulars.length; i++) regulars[i]!.write(sink, options, environment, row)
      if (this.#spellsKey)
        sink.cell(SPELLING_COLUMN_ID, row?.spelling ?? this.#parts.rowKey!.spelling(options, environment))
      sink.endRow()
    } else if (regulars.length > 0) this.#refuseColumnsOfRanges()
    if (statics.length === 0) return
    sink.beginStaticRow()
    const row = rows === null ? null : rows.staticRow(key)
    for (let i = 0; i < statics.length; i++) statics[i]!.write(sink, options, environment, row)
    sink.endRow()
  }

  /** The partitions it writes to. */
  #keys(environment: Environment, options: QueryOptions): Buffer[] {
    const { rowKey, restrictions } = this.#parts
    if (rowKey !== null) return [rowKey.partitionKey(options, environment)]
    const keys = restrictions!.partitionKeys(options, environment)
    for (const key of keys) checkPartitionKey(key)
    return keys
  }

  /** Throws INVALID where a partition key cannot be one. */
  checkKeys(environment: Environment, options: QueryOptions): void {
    for (const key of this.#keys(environment, options)) checkPartitionKey(key)
  }

  /** The rows that have to be known before this statement's changes can be said: at the level of the write, or as `reader` gives them. */
  async read(environment: Environment, options: QueryOptions, reader?: PartitionReader): Promise<ExistingRows> {
    const { rowKey, restrictions, target, restrictsClustering } = this.#parts
    const keys = this.#keys(environment, options)
    let clusterings: Buffer[] = []
    if (rowKey !== null) clusterings = [Buffer.from(rowKey.clustering(this.#sink, options, environment))]
    else if (restrictsClustering) clusterings = restrictions!.clusterings(options, environment)
    const read = reader ?? readerOfWrite(target.table.keyspace, environment, options)
    return await readRows(target.table, keys, clusterings, nowSecondsOf(environment, options), read)
  }
}

function conditionalText(kind: ModificationParts['kind']): string {
  return kind === 'DELETE' ? 'deletions' : 'updates'
}

export function checkWriteConsistency(consistency: number): void {
  if (consistency === Consistency.SERIAL || consistency === Consistency.LOCAL_SERIAL)
    throw invalid('You must use conditional updates for serializable writes')
}
