/**
 * Conditional statements: the rows are read, and only if every condition holds all is written at once.
 * Source: CQL 3.4.7 "Lightweight transactions"; what is answered when a condition fails is Cassandra 5.0's.
 * The coordinator puts them in an order; here is what is asked and decided.
 */
import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { Consistency, consistencyName } from '../../types/consistency.ts'
import { NATIVE } from '../../types/names.ts'
import { encodePosition, splitPartitionKey } from '../../types/partition-key.ts'
import type { StatementResult } from '../result.ts'
import { resultMetadata } from '../result-metadata.ts'
import type { Environment, QueryOptions } from '../statement.ts'
import type { Modification } from './modify.ts'
import type { ColumnCondition, Condition } from './modify-conditions.ts'
import {
  type ExistingPartition,
  type ExistingRow,
  type ExistingRows,
  nowSecondsOf,
  PartitionRead,
} from './modify-read.ts'
import type { MutationSink } from './modify-sink.ts'

export interface ConditionalPart {
  readonly modification: Modification
  readonly options: QueryOptions
}

/** What has to hold for one row, gathered over the statements of a batch. */
interface RowCondition {
  /** Null: the static row. */
  readonly clustering: Buffer | null
  readonly kind: Condition['kind']
  readonly columns: { readonly condition: ColumnCondition; readonly options: QueryOptions }[]
}

/** Executes them as one. At least one has a condition. */
export async function executeConditional(
  parts: readonly ConditionalPart[],
  isBatch: boolean,
  sink: MutationSink,
  environment: Environment,
  options: QueryOptions,
): Promise<StatementResult> {
  const { table } = parts[0]!.modification.target
  const key = onlyPartition(parts, environment)
  const conditions = rowConditions(parts, environment)
  checkConditionalConsistency(table, environment, options)
  const { serialConsistency: serial, consistency: commit } = options
  const clusterings = conditions.flatMap(({ clustering }) => (clustering === null ? [] : [clustering]))
  const writesRows = parts.some(({ modification }) => modification.writesRow)
  const wanted = clusterings.length > 0 ? clusterings : writesRows ? 'first' : 'inserted'
  const read = readColumns(table, conditions, parts)
  const first = new PartitionRead(table, key, wanted, nowSecondsOf(environment, options))
  let refusal: StatementResult | null = null
  const isApplied = await environment.coordinator.cas({
    table: table.id,
    keyspace: table.keyspace,
    position: encodePosition(key, new Int32Array(2)),
    serial,
    commit,
    read: first.command,
    async decide(result, { timestamp, read: more }) {
      const found = first.finish(result, more)
      const partition = visible(found instanceof Promise ? await found : found, read, parts)
      if (!conditions.every((condition) => holds(condition, partition, environment))) {
        refusal = refused(table, key, shownColumns(table, conditions, isBatch), read, partition)
        return null
      }
      const rows: (ExistingRows | null)[] = []
      for (const { modification, options: own } of parts)
        rows.push(modification.needsRead ? await modification.read(environment, own, more) : null)
      // The time is that of the decision, whatever the client says.
      sink.start(environment, { ...options, timestamp })
      parts.forEach(({ modification, options: own }, i) => {
        modification.addTo(sink, environment, own, rows[i]!)
      })
      // Others use the sink before this promise is looked at.
      return sink.take().map((mutation) => Buffer.from(mutation))
    },
  })
  return isApplied ? answer(table, [], [[true]]) : refusal!
}

/** Of all statements. */
export function onlyPartition(parts: readonly ConditionalPart[], environment: Environment): Buffer {
  let key: Buffer | null = null
  for (const { modification, options } of parts) {
    const own = modification.onlyPartition(environment, options)
    if (key !== null && !key.equals(own)) throw invalid('Batch with conditions cannot span multiple partitions')
    key = own
  }
  return key!
}

function rowConditions(parts: readonly ConditionalPart[], environment: Environment): RowCondition[] {
  const rows = new Map<string, RowCondition>()
  for (const { modification, options } of parts) {
    const { condition } = modification
    if (condition === null) continue
    const clustering = modification.onlyClustering(environment, options)
    if (condition.kind !== 'columns') {
      add(rows, clustering, condition.kind, [])
      continue
    }
    const bound = condition.columns.map((one) => ({ condition: one, options }))
    const statics = bound.filter((one) => one.condition.column.kind === 'static')
    const regulars = bound.filter((one) => one.condition.column.kind !== 'static')
    if (regulars.length > 0) add(rows, clustering, 'columns', regulars)
    if (statics.length > 0) add(rows, null, 'columns', statics)
  }
  return [...rows.values()]
}

function add(
  rows: Map<string, RowCondition>,
  clustering: Buffer | null,
  kind: Condition['kind'],
  columns: RowCondition['columns'],
): void {
  const name = clustering === null ? 'static' : `row ${clustering.toString('latin1')}`
  const known = rows.get(name)
  if (!known) rows.set(name, { clustering, kind, columns })
  else if (known.kind === kind) known.columns.push(...columns)
  else if (kind === 'columns') throw invalid('Cannot mix IF conditions and IF NOT EXISTS for the same row')
  else if (known.kind === 'columns')
    throw invalid(`Cannot mix IF conditions and IF ${kind === 'exists' ? 'EXISTS' : 'NOT EXISTS'} for the same row`)
  else throw invalid('Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row')
}

export function checkConditionalConsistency(table: TableSchema, environment: Environment, options: QueryOptions): void {
  const { consistency, serialConsistency } = options
  if (serialConsistency !== Consistency.SERIAL && serialConsistency !== Consistency.LOCAL_SERIAL)
    throw invalid('Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL')
  if (consistency === Consistency.SERIAL || consistency === Consistency.LOCAL_SERIAL)
    throw invalid(
      `${consistencyName(consistency)} is not supported as conditional update commit consistency. Use ANY if you mean "make sure it is accepted ` +
        'but I don\'t care how many replicas commit it for non-SERIAL reads"',
    )
  if (consistency !== Consistency.EACH_QUORUM) return
  const strategy = environment.schema.current.keyspaces.get(table.keyspace)?.replication.get('class') ?? ''
  if (!strategy.endsWith('NetworkTopologyStrategy'))
    throw invalid(`consistency level EACH_QUORUM not compatible with replication strategy (${strategy})`)
}

function holds(condition: RowCondition, partition: ExistingPartition, environment: Environment): boolean {
  const { clustering, kind } = condition
  const row =
    clustering === null
      ? partition.staticRow
      : (partition.rows.find((existing) => existing.clustering.equals(clustering)) ?? null)
  if (kind === 'exists') return row !== null
  if (kind === 'not_exists') return row === null
  return condition.columns.every((one) => one.condition.holds(row, one.options, environment))
}

/** The columns that the conditions are about: those named, or for the sake of existence all of the kinds that are written. */
function readColumns(
  table: TableSchema,
  conditions: readonly RowCondition[],
  parts: readonly ConditionalPart[],
): ReadonlySet<ColumnSchema> {
  if (conditions.every(({ kind }) => kind === 'columns'))
    return new Set(conditions.flatMap((row) => row.columns.map(({ condition }) => condition.column)))
  const regulars = parts.some(({ modification }) => modification.writesRow) ? table.regulars : []
  const statics = parts.some(({ modification }) => modification.writesStatics) ? table.statics : []
  return new Set([...statics, ...regulars])
}

/**
 * What of a partition is there for these statements: all columns of the kinds that they write, else those that the conditions look at. A row
 * that was inserted is there without any.
 */
function visible(
  { staticRow, rows }: ExistingPartition,
  read: ReadonlySet<ColumnSchema>,
  parts: readonly ConditionalPart[],
): ExistingPartition {
  const has = (row: ExistingRow): boolean => [...read].some((column) => row.cells(column).length > 0)
  const writesStatics = parts.some(({ modification }) => modification.writesStatics)
  const writesRows = parts.some(({ modification }) => modification.writesRow)
  return {
    staticRow: staticRow !== null && (writesStatics || has(staticRow)) ? staticRow : null,
    rows: writesRows ? rows : rows.filter((row) => row.isInserted || has(row)),
  }
}

/** What is shown of rows for which a condition failed: those that the conditions name, or all where existence was asked for. */
function shownColumns(table: TableSchema, conditions: readonly RowCondition[], isBatch: boolean): ColumnSchema[] {
  const keys = [...table.partitionKey, ...table.clustering]
  if (conditions.some(({ kind }) => kind !== 'columns')) return [...keys, ...table.statics, ...table.regulars]
  const columns = conditions.flatMap((row) => row.columns.map(({ condition }) => condition.column))
  return [...new Set([...(isBatch ? keys : []), ...columns])]
}

function refused(
  table: TableSchema,
  key: Buffer,
  columns: readonly ColumnSchema[],
  read: ReadonlySet<ColumnSchema>,
  { staticRow, rows }: ExistingPartition,
): StatementResult {
  const keyValues = splitPartitionKey(key, table.partitionKey.length)
  const shown: readonly (ExistingRow | null)[] = rows.length > 0 || staticRow === null ? rows : [null]
  if (shown.length === 0) return answer(table, [], [[false]])
  return answer(
    table,
    columns,
    shown.map((row) => {
      const clustering = row === null ? [] : row.clusteringValues(table)
      const values = columns.map((column) => {
        if (column.kind === 'partition_key') return keyValues[column.position]!
        if (column.kind === 'clustering') return clustering[column.position] ?? null
        const holder = column.kind === 'static' ? staticRow : row
        return holder === null || !read.has(column) ? null : holder.value(column)
      })
      return [false, ...values]
    }),
  )
}

/** [applied], and the columns after it. */
function answer(
  table: TableSchema,
  columns: readonly ColumnSchema[],
  rows: readonly (readonly (boolean | Buffer | null)[])[],
): StatementResult {
  const { keyspace, name } = table
  const specs = [
    { keyspace, table: name, name: '[applied]', type: NATIVE.boolean },
    ...columns.map((column) => ({ keyspace, table: name, name: column.name, type: column.type })),
  ]
  const out = new ByteWriter(64)
  for (const value of rows.flat()) {
    if (value === null) out.int32(-1)
    else if (typeof value === 'boolean') {
      out.int32(1)
      out.uint8(value ? 1 : 0)
    } else {
      out.int32(value.length)
      out.bytes(value)
    }
  }
  return {
    kind: 'rows',
    metadata: resultMetadata(specs),
    rowCount: rows.length,
    rowBytes: out.view(),
    pagingState: null,
  }
}
