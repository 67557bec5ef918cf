/**
 * DESCRIBE, answered by the server. Source: CQL 3.4.7 "DESCRIBE"; rows, order and messages are those of Cassandra 5.0.6.
 * A page's state holds the schema's version and how many rows were given: with another schema it is refused.
 */

import { ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { uuidBytes } from '../../base/uuid.ts'
import type { KeyspaceSchema, Schema } from '../../schema/keyspace.ts'
import { typesInOrder } from '../../schema/state.ts'
import { isSystemKeyspace } from '../../schema/system-tables.ts'
import type { IndexSchema, TableSchema } from '../../schema/table.ts'
import { isView, viewsOf } from '../../schema/views.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import { NATIVE } from '../../types/names.ts'
import type { CqlType } from '../../types/type.ts'
import type { DescribeStatement, QualifiedName } from '../ast.ts'
import type { RowsResult } from '../result.ts'
import { resultMetadata } from '../result-metadata.ts'
import type { ClientState, CompiledStatement, Environment, QueryOptions } from '../statement.ts'
import {
  indexText,
  keyspaceText,
  tableDefinitionText,
  typeDefinitionText,
  type View,
  viewDefinitionText,
} from './describe-text.ts'

/** keyspace_name, type, name and, for all but lists, create_statement. */
type Row = readonly string[]

const LIST_COLUMNS = ['keyspace_name', 'type', 'name']
const ELEMENT_COLUMNS = [...LIST_COLUMNS, 'create_statement']

/** What the statement is about is looked up when it is executed: the connection's keyspace may change in between. */
export function compileDescribeStatement(statement: DescribeStatement): CompiledStatement {
  return {
    variables: [],
    partitionKeyIndexes: [],
    // Rows without columns that PREPARE could tell: which ones they have is told with each answer.
    resultMetadata: resultMetadata([]),
    keyspace: null,
    table: null,
    execute: (environment, options, client) => describe(statement, environment, options, client),
  }
}

function describe(
  statement: DescribeStatement,
  environment: Environment,
  options: QueryOptions,
  client: ClientState,
): RowsResult {
  const schema = environment.schema.current
  const { target } = statement
  if (target.kind === 'cluster') return describeCluster(environment, client)
  const isList = target.kind === 'keyspaces' || /^(tables|types|functions|aggregates)$/.test(target.kind)
  const rows = [...describeRows(statement, schema, client.keyspace)]
  return page(schema, isList ? LIST_COLUMNS : ELEMENT_COLUMNS, rows, options)
}

function* describeRows(statement: DescribeStatement, schema: Schema, current: string | null): Generator<Row> {
  const { target, internals } = statement
  switch (target.kind) {
    case 'keyspaces':
      for (const { name } of inOrder(schema.keyspaces)) yield listRow(name, 'keyspace', name)
      return
    case 'tables':
      for (const keyspace of listed(schema, current))
        for (const { name } of tablesOf(keyspace)) yield listRow(keyspace.name, 'table', name)
      return
    case 'types':
      for (const keyspace of listed(schema, current))
        for (const { name } of inOrder(keyspace.types)) yield listRow(keyspace.name, 'type', name)
      return
    case 'functions':
    case 'aggregates':
      listed(schema, current)
      return
    case 'schema':
      for (const keyspace of inOrder(schema.keyspaces))
        if (target.full || !isSystemKeyspace(keyspace.name)) yield* keyspaceRows(keyspace, false, internals)
      return
    case 'keyspace': {
      const name = target.name ?? current
      if (name === null) throw invalid('No keyspace specified and no current keyspace')
      yield* keyspaceRows(existingKeyspace(schema, name), target.only, internals)
      return
    }
    case 'generic':
      yield* genericRows(schema, target.name, current, internals)
      return
    case 'cluster':
      return
    default: {
      const keyspace = keyspaceOfName(schema, target.name, current)
      yield* elementRows(keyspace, target.kind, target.name.name, internals)
    }
  }
}

/** The connection's keyspace, or all of them. */
function listed(schema: Schema, current: string | null): KeyspaceSchema[] {
  return current === null ? inOrder(schema.keyspaces) : [existingKeyspace(schema, current)]
}

function existingKeyspace(schema: Schema, name: string): KeyspaceSchema {
  const keyspace = schema.keyspaces.get(name)
  if (!keyspace) throw invalid(`'${name}' not found in keyspaces`)
  return keyspace
}

function keyspaceOfName(schema: Schema, name: QualifiedName, current: string | null): KeyspaceSchema {
  const keyspace = name.keyspace ?? current
  if (keyspace === null) throw invalid('No keyspace specified and no current keyspace')
  return existingKeyspace(schema, keyspace)
}

function* keyspaceRows(keyspace: KeyspaceSchema, only: boolean, internals: boolean): Generator<Row> {
  yield row(keyspace, 'keyspace', keyspace.name, keyspaceText(keyspace))
  if (only) return
  for (const type of typesInOrder(keyspace.types)) yield row(keyspace, 'type', type.name, typeDefinitionText(type))
  for (const table of tablesOf(keyspace)) yield* tableRows(keyspace, table, internals)
}

function* tableRows(keyspace: KeyspaceSchema, table: TableSchema, internals: boolean): Generator<Row> {
  yield row(
    keyspace,
    'table',
    table.name,
    tableDefinitionText(table, keyspace.isVirtual ? 'virtual' : 'described', internals),
  )
  for (const index of inOrder(table.indexes)) yield row(keyspace, 'index', index.name, indexText(table, index))
  const views = new Map(viewsOf(keyspace, table.name).map((view) => [view.name, view]))
  for (const view of inOrder(views)) yield viewRow(keyspace, view, internals)
}

function viewRow(keyspace: KeyspaceSchema, view: View, internals: boolean): Row {
  return row(keyspace, 'materialized_view', view.name, viewDefinitionText(view, internals))
}

/** All but the views, which are told of with their tables. */
function tablesOf(keyspace: KeyspaceSchema): TableSchema[] {
  return inOrder(keyspace.tables).filter((table) => !isView(table))
}

function* elementRows(
  keyspace: KeyspaceSchema,
  kind: 'table' | 'type' | 'function' | 'aggregate' | 'index' | 'view',
  name: string,
  internals: boolean,
): Generator<Row> {
  switch (kind) {
    case 'table': {
      const table = keyspace.tables.get(name)
      if (!table || isView(table)) throw invalid(`Table '${name}' not found in keyspace '${keyspace.name}'`)
      yield* tableRows(keyspace, table, internals)
      return
    }
    case 'type': {
      const type = keyspace.types.get(name)
      if (!type) throw invalid(`User defined type '${name}' not found in '${keyspace.name}'`)
      yield row(keyspace, 'type', name, typeDefinitionText(type))
      return
    }
    case 'index': {
      const found = findIndex(keyspace, name)
      if (!found) throw invalid(`Table for existing index '${name}' not found in '${keyspace.name}'`)
      yield row(keyspace, 'index', name, indexText(found.table, found.index))
      return
    }
    case 'view': {
      const view = keyspace.tables.get(name)
      if (!view || !isView(view)) throw invalid(`Materialized view '${name}' not found in '${keyspace.name}'`)
      yield viewRow(keyspace, view, internals)
      return
    }
    case 'function':
    case 'aggregate':
      throw invalid(`User defined ${kind} '${name}' not found in '${keyspace.name}'`)
  }
}

function findIndex(keyspace: KeyspaceSchema, name: string): { table: TableSchema; index: IndexSchema } | null {
  for (const table of keyspace.tables.values()) {
    const index = table.indexes.get(name)
    if (index) return { table, index }
  }
  return null
}

/** A keyspace of that name, else a table or view, else an index of the keyspace. */
function* genericRows(schema: Schema, name: QualifiedName, current: string | null, internals: boolean): Generator<Row> {
  if (name.keyspace === null) {
    const keyspace = schema.keyspaces.get(name.name)
    if (keyspace) {
      yield* keyspaceRows(keyspace, false, internals)
      return
    }
    if (current === null) throw invalid(`'${name.name}' not found in keyspaces`)
  }
  const keyspace = keyspaceOfName(schema, name, current)
  const table = keyspace.tables.get(name.name)
  if (table && isView(table)) yield viewRow(keyspace, table, internals)
  else if (table) yield* tableRows(keyspace, table, internals)
  else if (findIndex(keyspace, name.name)) yield* elementRows(keyspace, 'index', name.name, internals)
  else throw invalid(`'${name.name}' not found in keyspace '${keyspace.name}'`)
}

/** By name, capitals and small letters alike. */
function inOrder<T extends { readonly name: string }>(elements: ReadonlyMap<string, T>): T[] {
  const keyed = Array.from(elements.values(), (element) => ({ element, key: element.name.toLowerCase() }))
  keyed.sort((a, b) => {
    if (a.key !== b.key) return a.key < b.key ? -1 : 1
    return a.element.name < b.element.name ? 1 : -1
  })
  return keyed.map(({ element }) => element)
}

function listRow(keyspace: string, type: string, name: string): Row {
  return [quoteIdentifier(keyspace), type, quoteIdentifier(name)]
}

function row(keyspace: KeyspaceSchema, type: string, name: string, text: string): Row {
  return [...listRow(keyspace.name, type, name), text]
}

function metadataOf(columns: readonly (readonly [string, CqlType])[]) {
  return resultMetadata(columns.map(([name, type]) => ({ keyspace: 'system', table: 'describe', name, type })))
}

const VERSION_BYTES = 16
const STATE_BYTES = VERSION_BYTES + 4

function page(schema: Schema, columns: readonly string[], rows: readonly Row[], options: QueryOptions): RowsResult {
  const start = options.pagingState ? readState(options.pagingState, schema) : 0
  const size = options.pageSize ?? 0
  const given = size > 0 ? rows.slice(start, start + size) : rows.slice(start)
  const writer = new ByteWriter(1024)
  for (const values of given) for (const value of values) writeText(writer, value)
  const isFull = size > 0 && given.length === size
  return {
    kind: 'rows',
    metadata: metadataOf(columns.map((name) => [name, NATIVE.text])),
    rowCount: given.length,
    rowBytes: writer.copy(),
    pagingState: isFull ? writeState(schema, start + size) : null,
  }
}

function writeText(writer: ByteWriter, text: string): void {
  const at = writer.reserve(4)
  writer.utf8(text)
  writer.putInt32(at, writer.length - at - 4)
}

function writeState(schema: Schema, given: number): Buffer {
  const state = Buffer.alloc(STATE_BYTES)
  uuidBytes(schema.version).copy(state)
  state.writeUInt32BE(given, VERSION_BYTES)
  return state
}

function readState(state: Buffer, schema: Schema): number {
  if (state.length !== STATE_BYTES) throw invalid('Invalid value for the paging state')
  if (!state.subarray(0, VERSION_BYTES).equals(uuidBytes(schema.version)))
    throw invalid(
      'The schema has changed since the previous page of the DESCRIBE statement result. ' +
        'Please retry the DESCRIBE statement.',
    )
  return state.readUInt32BE(VERSION_BYTES)
}

/** Without a keyspace three columns; with one also who owns which range of it. */
function describeCluster(environment: Environment, client: ClientState): RowsResult {
  const columns: (readonly [string, CqlType])[] = [
    ['cluster', NATIVE.text],
    ['partitioner', NATIVE.text],
    ['snitch', NATIVE.text],
  ]
  const writer = new ByteWriter(1024)
  writeText(writer, environment.cluster?.clusterName ?? 'Test Cluster')
  writeText(writer, 'Murmur3Partitioner')
  writeText(writer, 'DynamicEndpointSnitch')
  if (client.keyspace !== null) {
    const list: CqlType = { kind: 'list', element: NATIVE.text, frozen: false }
    columns.push(['range_ownership', { kind: 'map', key: NATIVE.text, value: list, frozen: false }])
    writeOwnership(writer, environment.cluster?.rangeOwnership(client.keyspace) ?? new Map())
  }
  return { kind: 'rows', metadata: metadataOf(columns), rowCount: 1, rowBytes: writer.copy(), pagingState: null }
}

/** A map<text, list<text>>, as the protocol has it. */
function writeOwnership(writer: ByteWriter, ownership: ReadonlyMap<string, readonly string[]>): void {
  const at = writer.reserve(4)
  writer.int32(ownership.size)
  for (const token of [...ownership.keys()].sort()) {
    writeText(writer, token)
    const listAt = writer.reserve(4)
    const owners = ownership.get(token)!
    writer.int32(owners.length)
    for (const owner of owners) writeText(writer, owner)
    writer.putInt32(listAt, writer.length - listAt - 4)
  }
  writer.putInt32(at, writer.length - at - 4)
}
