/**
 * Schema as CQL text: the CREATE statements that DESCRIBE answers with. Source: the texts of Cassandra 5.0.6, blanks included.
 */
import { isStaticCompact } from '../../schema/compact.ts'
import { javaDouble } from '../../schema/java.ts'
import type { KeyspaceSchema } from '../../schema/keyspace.ts'
import { isSloppy, SLOPPY_QUORUM } from '../../schema/options.ts'
import { RESOLUTION_OPTIONS, resolutionWords } from '../../schema/resolution.ts'
import type { ColumnSchema, DroppedColumn, IndexSchema, TableSchema, ViewSchema } from '../../schema/table.ts'
import { conditionsText } from '../../schema/views.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import { isMultiCell, typeToCql } from '../../types/names.ts'
import type { UserType } from '../../types/type.ts'

const LOCATOR = 'org.apache.cassandra.locator.'
const BLANKS = '    '

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function mapText(entries: Iterable<readonly [string, string]>): string {
  return `{${Array.from(entries, ([key, value]) => `${quoted(key)}: ${quoted(value)}`).join(', ')}}`
}

function qualified(keyspace: string, name: string): string {
  return `${quoteIdentifier(keyspace)}.${quoteIdentifier(name)}`
}

export function keyspaceText(keyspace: KeyspaceSchema): string {
  const name = quoteIdentifier(keyspace.name)
  if (keyspace.isVirtual)
    return virtualText(
      `Keyspace ${name} is a virtual keyspace and cannot be recreated with CQL.`,
      `VIRTUAL KEYSPACE ${name};`,
    )
  const replication = [...keyspace.replication].map(
    ([key, value]) =>
      [key, key === 'class' && value.startsWith(LOCATOR) ? value.slice(LOCATOR.length) : value] as const,
  )
  return `CREATE KEYSPACE ${name} WITH replication = ${mapText(replication)}  AND durable_writes = ${keyspace.durableWrites};`
}

function virtualText(warning: string, structure: string): string {
  return `/*\nWarning: ${warning}\nStructure, for reference:\n${structure}\n*/`
}

export function typeDefinitionText(type: UserType): string {
  const fields = type.fieldNames.map((name, i) => `${BLANKS}${quoteIdentifier(name)} ${typeToCql(type.fieldTypes[i]!)}`)
  return `CREATE TYPE ${qualified(type.keyspace, type.name)} (\n${fields.join(',\n')}\n);`
}

export function indexText(table: TableSchema, index: IndexSchema): string {
  const on = `${quoteIdentifier(index.name)} ON ${qualified(table.keyspace, table.name)} (${index.options.get('target')})`
  if (index.kind !== 'CUSTOM') return `CREATE INDEX ${on};`
  const options = [...index.options]
    .filter(([key]) => key !== 'target' && key !== 'class_name')
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const using = `CREATE CUSTOM INDEX ${on} USING ${quoted(index.options.get('class_name') ?? '')}`
  return options.length === 0 ? `${using};` : `${using} WITH OPTIONS = ${mapText(options)};`
}

/** How a table is told: as DESCRIBE does, or as CQL that makes it again, of compact tables too. */
export type TableTelling = 'described' | 'virtual' | 'statement'

/** With `internals` the id and the columns that were dropped are told too, so that the text makes the very same table. */
export function tableDefinitionText(table: TableSchema, telling: TableTelling, internals: boolean): string {
  const name = qualified(table.keyspace, table.name)
  const dropped = internals ? droppedInOrder(table) : []
  const inStorage = telling === 'described' && table.compact !== null
  const ending = [...tableWords(table, telling === 'virtual', internals, inStorage)].join(`\n${BLANKS}AND `)
  const body = `TABLE ${name} (\n${columnLines(table, dropped, inStorage).join(',\n')}\n) WITH ${ending};`
  if (telling === 'virtual')
    return virtualText(`Table ${name} is a virtual table and cannot be recreated with CQL.`, `VIRTUAL ${body}`)
  const text = [`CREATE ${body}`, ...dropped.flatMap((column) => droppedLines(table, name, column))].join('\n')
  return inStorage ? compactText(name, text) : text
}

function compactText(name: string, structure: string): string {
  return `/*
Warning: Table ${name} omitted because it has constructs not compatible with CQL (was created via legacy API).
Approximate structure, for reference:
(this should not be used to reproduce this schema)

${structure}
*/`
}

export type View = TableSchema & { readonly view: ViewSchema }

/** With `internals` the id is told too. */
export function viewDefinitionText(table: View, internals: boolean): string {
  const { view } = table
  const names = [...table.partitionKey, ...table.clustering, ...simpleFirst(table.regulars)].map(({ name }) =>
    quoteIdentifier(name),
  )
  const words = [...tableWords(table, false, internals, false)].join(`\n${BLANKS}AND `)
  return [
    `CREATE MATERIALIZED VIEW ${qualified(table.keyspace, table.name)} AS`,
    `${BLANKS}SELECT ${view.includesAll ? '*' : names.join(', ')}`,
    `${BLANKS}FROM ${qualified(table.keyspace, view.baseName)}`,
    `${BLANKS}WHERE ${conditionsText(view.conditions)}`,
    `${BLANKS}${primaryKeyText(table)}`,
    ` WITH ${words};`,
  ].join('\n')
}

function primaryKeyText(table: TableSchema): string {
  const partitionKey = table.partitionKey.map((column) => quoteIdentifier(column.name)).join(', ')
  const clustering = table.clustering.map((column) => `, ${quoteIdentifier(column.name)}`).join('')
  const key = table.partitionKey.length > 1 ? `(${partitionKey})` : partitionKey
  return `PRIMARY KEY (${key}${clustering})`
}

function droppedInOrder(table: TableSchema): DroppedColumn[] {
  return [...table.dropped.values()].sort((a, b) =>
    a.kind === b.kind ? (a.name < b.name ? -1 : 1) : a.kind === 'regular' ? -1 : 1,
  )
}

function droppedLines(table: TableSchema, name: string, column: DroppedColumn): string[] {
  const identifier = quoteIdentifier(column.name)
  const lines = [`ALTER TABLE ${name} DROP ${identifier} USING TIMESTAMP ${column.droppedAtMicros};`]
  const again = table.columns.get(column.name)
  if (again) {
    const suffix = again.kind === 'static' ? ' static' : ''
    lines.push(`ALTER TABLE ${name} ADD ${identifier} ${typeToCql(again.type)}${suffix};`)
  }
  return lines
}

/** `inStorage`: of a compact table as Cassandra has it, with the columns that no statement reaches. */
function columnLines(table: TableSchema, dropped: readonly DroppedColumn[], inStorage: boolean): string[] {
  const single = table.partitionKey.length === 1 && table.clustering.length === 0 && !inStorage
  const droppedStatics = inStorage && isStaticCompact(table)
  const gone = new Set(dropped.map((column) => column.name))
  const lines: string[] = []
  const add = (column: { name: string; type: ColumnSchema['type'] }, suffix: string) =>
    lines.push(`${BLANKS}${quoteIdentifier(column.name)} ${typeToCql(column.type)}${suffix}`)
  for (const column of table.partitionKey) add(column, single ? ' PRIMARY KEY' : '')
  for (const column of table.clustering) add(column, '')
  for (const column of simpleFirst(table.statics)) if (!gone.has(column.name)) add(column, ' static')
  for (const column of simpleFirst(table.regulars)) if (!gone.has(column.name)) add(column, '')
  for (const column of dropped) add(column, column.kind === 'static' || droppedStatics ? ' static' : '')
  if (!single) lines.push(`${BLANKS}${primaryKeyText(table)}`)
  return lines
}

/** Columns of one cell come before those of many. */
function simpleFirst(columns: readonly ColumnSchema[]): ColumnSchema[] {
  return [
    ...columns.filter((column) => !isMultiCell(column.type)),
    ...columns.filter((column) => isMultiCell(column.type)),
  ]
}

function* tableWords(
  table: TableSchema,
  isVirtual: boolean,
  internals: boolean,
  inStorage: boolean,
): Generator<string> {
  if (table.compact !== null) yield 'COMPACT STORAGE'
  if (internals && !isVirtual) yield `ID = ${table.id}`
  if (table.clustering.length > 0) {
    const order = table.clustering.map(
      (column) => `${quoteIdentifier(column.name)} ${column.reversed ? 'DESC' : 'ASC'}`,
    )
    yield `CLUSTERING ORDER BY (${order.join(', ')})`
  }
  const hidden = inStorage ? table.compact!.clustering : null
  if (hidden !== null) yield `CLUSTERING ORDER BY (${quoteIdentifier(hidden)} ASC)`
  const { options } = table
  if (isVirtual) {
    yield `comment = ${quoted(options.comment)}`
    return
  }
  yield `additional_write_policy = ${quoted(options.additionalWritePolicy)}`
  yield `allow_auto_snapshot = ${options.allowAutoSnapshot ?? true}`
  yield `bloom_filter_fp_chance = ${javaDouble(options.bloomFilterFpChance)}`
  yield `caching = ${mapText(options.caching)}`
  yield `cdc = ${options.cdc ?? false}`
  yield `comment = ${quoted(options.comment)}`
  yield `compaction = ${mapText(options.compaction)}`
  yield `compression = ${mapText(options.compression)}`
  yield `memtable = ${quoted(options.memtable ?? 'default')}`
  yield `crc_check_chance = ${javaDouble(options.crcCheckChance)}`
  if (table.view === null) yield `default_time_to_live = ${options.defaultTimeToLive}`
  yield `extensions = {${extensionTexts(options).join(', ')}}`
  yield `gc_grace_seconds = ${options.gcGraceSeconds}`
  yield `incremental_backups = ${options.incrementalBackups ?? true}`
  yield `max_index_interval = ${options.maxIndexInterval}`
  const { maxSiblings, resolution } = resolutionWords(table)
  if (maxSiblings !== null) yield maxSiblings
  yield `memtable_flush_period_in_ms = ${options.memtableFlushPeriodInMs}`
  yield `min_index_interval = ${options.minIndexInterval}`
  yield `read_repair = ${quoted(options.readRepair)}`
  yield* resolution
  if (isSloppy(options)) yield 'sloppy_quorum = true'
  yield `speculative_retry = ${quoted(options.speculativeRetry)}`
}

/** What has a word of its own is said by it. */
function extensionTexts({ extensions }: TableSchema['options']): string[] {
  const others = [...extensions].filter(([key]) => key !== SLOPPY_QUORUM && !RESOLUTION_OPTIONS.includes(key))
  return others.map(([key, value]) => `${quoted(key)}: 0x${value.toString('hex')}`)
}
