/**
 * Schema changes as plain data: what the metadata log keeps and replays. A record tells the whole of a keyspace, table or type as it is
 * after the change, ids and times included, so that replaying it is exact and needs no rules.
 * Always: records are JSON; keys are ours alone, names from clients stand in values.
 */
import { typeToCql } from '../types/names.ts'
import type { UserType } from '../types/type.ts'
import { buildTable } from './build.ts'
import type { CompactStorage } from './compact.ts'
import type { KeyspaceSchema } from './keyspace.ts'
import type {
  ColumnKind,
  ColumnSchema,
  DroppedColumn,
  IndexSchema,
  TableOptions,
  TableSchema,
  ViewCondition,
  ViewSchema,
} from './table.ts'
import { parseTypeText } from './type-text.ts'

export type Pairs = readonly (readonly [string, string])[]

export interface ColumnRecord {
  readonly name: string
  readonly id: number
  readonly kind: ColumnKind
  readonly position: number
  readonly type: string
  readonly reversed: boolean
  /** Decimal µs, or null. */
  readonly droppedAt: string | null
}

export interface DroppedRecord {
  readonly name: string
  readonly id: number
  readonly kind: 'static' | 'regular'
  readonly type: string
  readonly droppedAt: string
}

type MapOption = 'caching' | 'compaction' | 'compression' | 'extensions'

export interface TableRecord {
  readonly keyspace: string
  readonly name: string
  readonly id: string
  readonly columns: readonly ColumnRecord[]
  readonly dropped: readonly DroppedRecord[]
  readonly nextColumnId: number
  readonly isCounter: boolean
  /** Of a table that was made WITH COMPACT STORAGE. */
  readonly compact?: CompactStorage
  readonly indexes: readonly {
    readonly name: string
    readonly id: string
    readonly kind: IndexSchema['kind']
    readonly options: Pairs
  }[]
  /** Of a materialized view. */
  readonly view?: Omit<ViewSchema, 'conditions'> & {
    readonly conditions: readonly (Omit<ViewCondition, 'values'> & {
      /** Hexadecimal. */
      readonly values: readonly (readonly (string | null)[])[]
    })[]
  }
  readonly options: Omit<TableOptions, MapOption> & { readonly [Name in MapOption]: Pairs }
}

export type SchemaRecord =
  | {
      readonly kind: 'keyspace'
      readonly name: string
      readonly replication: Pairs
      readonly durableWrites: boolean
    }
  | { readonly kind: 'drop_keyspace'; readonly name: string }
  | { readonly kind: 'table'; readonly table: TableRecord }
  | { readonly kind: 'drop_table'; readonly keyspace: string; readonly name: string }
  | { readonly kind: 'type'; readonly keyspace: string; readonly name: string; readonly fields: Pairs }
  | { readonly kind: 'drop_type'; readonly keyspace: string; readonly name: string }

export function keyspaceRecord(keyspace: KeyspaceSchema): SchemaRecord {
  const { name, replication, durableWrites } = keyspace
  return { kind: 'keyspace', name, replication: [...replication], durableWrites }
}

export function typeRecord(type: UserType): SchemaRecord {
  const fields = type.fieldNames.map((name, i) => [name, typeToCql(type.fieldTypes[i]!)] as const)
  return { kind: 'type', keyspace: type.keyspace, name: type.name, fields }
}

export function tableRecord(table: TableSchema): SchemaRecord {
  const { keyspace, name, id, nextColumnId, isCounter, options } = table
  const columns = [...table.partitionKey, ...table.clustering, ...table.statics, ...table.regulars].map(columnRecord)
  const dropped = [...table.dropped.values()].map((column) => ({
    name: column.name,
    id: column.id,
    kind: column.kind,
    type: typeToCql(column.type),
    droppedAt: String(column.droppedAtMicros),
  }))
  const indexes = [...table.indexes.values()].map((index) => ({
    name: index.name,
    id: index.id,
    kind: index.kind,
    options: [...index.options],
  }))
  const record: TableRecord = {
    keyspace,
    name,
    id,
    columns,
    dropped,
    nextColumnId,
    isCounter,
    ...(table.compact === null ? {} : { compact: table.compact }),
    indexes,
    ...(table.view === null ? {} : { view: viewRecord(table.view) }),
    options: {
      ...options,
      caching: [...options.caching],
      compaction: [...options.compaction],
      compression: [...options.compression],
      extensions: [...options.extensions].map(([key, value]) => [key, value.toString('hex')] as const),
    },
  }
  return { kind: 'table', table: record }
}

function viewRecord(view: ViewSchema): NonNullable<TableRecord['view']> {
  const conditions = view.conditions.map((condition) => ({
    ...condition,
    values: condition.values.map((tuple) => tuple.map((value) => value?.toString('hex') ?? null)),
  }))
  return { ...view, conditions }
}

function readViewRecord(record: NonNullable<TableRecord['view']>): ViewSchema {
  const conditions = record.conditions.map((condition) => ({
    ...condition,
    values: condition.values.map((tuple) => tuple.map((value) => (value === null ? null : Buffer.from(value, 'hex')))),
  }))
  return { ...record, conditions }
}

function columnRecord(column: ColumnSchema): ColumnRecord {
  return {
    name: column.name,
    id: column.id,
    kind: column.kind,
    position: column.position,
    type: typeToCql(column.type),
    reversed: column.reversed,
    droppedAt: column.droppedAtMicros === null ? null : String(column.droppedAtMicros),
  }
}

/** The user type of a record, its fields resolved among the types of its keyspace. */
export function readTypeRecord(
  record: Extract<SchemaRecord, { kind: 'type' }>,
  types: ReadonlyMap<string, UserType>,
): UserType {
  return {
    kind: 'udt',
    keyspace: record.keyspace,
    name: record.name,
    fieldNames: record.fields.map(([name]) => name),
    fieldTypes: record.fields.map(([, type]) => parseTypeText(type, types)),
    frozen: false,
  }
}

export function readTableRecord(record: TableRecord, types: ReadonlyMap<string, UserType>): TableSchema {
  const columns = record.columns.map(
    (column): ColumnSchema => ({
      name: column.name,
      id: column.id,
      kind: column.kind,
      position: column.position,
      type: parseTypeText(column.type, types),
      reversed: column.reversed,
      droppedAtMicros: column.droppedAt === null ? null : BigInt(column.droppedAt),
    }),
  )
  const dropped = record.dropped.map(
    (column): DroppedColumn => ({
      name: column.name,
      id: column.id,
      kind: column.kind,
      type: parseTypeText(column.type, types),
      droppedAtMicros: BigInt(column.droppedAt),
    }),
  )
  const { options } = record
  return buildTable({
    id: record.id,
    keyspace: record.keyspace,
    name: record.name,
    columns,
    dropped: new Map(dropped.map((column) => [column.name, column])),
    nextColumnId: record.nextColumnId,
    isCounter: record.isCounter,
    compact: record.compact ?? null,
    indexes: new Map(
      record.indexes.map(({ name, id, kind, options }) => [name, { name, id, kind, options: new Map(options) }]),
    ),
    view: record.view ? readViewRecord(record.view) : null,
    options: {
      ...options,
      // JSON knows no NaN, which Cassandra takes for this one option.
      crcCheckChance: options.crcCheckChance ?? Number.NaN,
      caching: new Map(options.caching),
      compaction: new Map(options.compaction),
      compression: new Map(options.compression),
      extensions: new Map(options.extensions.map(([key, value]) => [key, Buffer.from(value, 'hex')])),
    },
  })
}

export function encodeRecords(records: readonly SchemaRecord[]): string {
  return JSON.stringify(records)
}

/** The inverse of encodeRecords; the text is our own, read back from a checksummed row. */
export function decodeRecords(payload: string): SchemaRecord[] {
  return payload === '' ? [] : (JSON.parse(payload) as SchemaRecord[])
}
