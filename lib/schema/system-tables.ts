/**
 * The keyspaces that every node has: system, system_schema, system_auth, system_distributed, system_traces, and the virtual ones.
 * Source: Cassandra 5.0.6. A table's id is the name-based UUID (version 3) of its keyspace and name, as there.
 */

import { createHash } from 'node:crypto'
import { stampUuid, uuidText } from '../base/uuid.ts'
import { buildTable } from './build.ts'
import { parseCompaction } from './compaction.ts'
import type { KeyspaceSchema, Schema } from './keyspace.ts'
import { DEFAULT_TABLE_OPTIONS } from './options.ts'
import { LOCAL_STRATEGY, SIMPLE_STRATEGY } from './replication.ts'
import { initialSchema } from './state.ts'
import { SYSTEM_TABLES_TEXT } from './system-tables-data.ts'
import type { ColumnKind, ColumnSchema, TableOptions, TableSchema } from './table.ts'
import { parseTypeText } from './type-text.ts'

/** Nobody changes these. */
const LOCAL_KEYSPACES: ReadonlySet<string> = new Set([
  'system',
  'system_schema',
  'system_views',
  'system_virtual_schema',
])
/** Of these an administrator may change the replication. */
const REPLICATED_KEYSPACES: ReadonlyMap<string, string> = new Map([
  ['system_auth', '1'],
  ['system_distributed', '3'],
  ['system_traces', '2'],
])
const VIRTUAL_KEYSPACES: ReadonlySet<string> = new Set(['system_views', 'system_virtual_schema'])
/** Tables outside the virtual keyspaces that are answered from the node's state all the same. */
const ANSWERED: ReadonlySet<string> = new Set([
  'IndexInfo',
  'built_views',
  'local',
  'peers',
  'peers_v2',
  'prepared_statements',
  'size_estimates',
  'table_estimates',
  'view_build_status',
  'view_builds_in_progress',
])

export function isLocalSystemKeyspace(name: string): boolean {
  return LOCAL_KEYSPACES.has(name)
}

export function isReplicatedSystemKeyspace(name: string): boolean {
  return REPLICATED_KEYSPACES.has(name)
}

export function isSystemKeyspace(name: string): boolean {
  return LOCAL_KEYSPACES.has(name) || REPLICATED_KEYSPACES.has(name)
}

/** The id of a built-in table. */
export function systemTableId(keyspace: string, name: string): string {
  const hash = createHash('md5').update(keyspace).update(name).digest()
  return uuidText(stampUuid(hash, 3))
}

/** A schema of the system keyspaces alone, at epoch 0. */
export function createSystemSchema(): Schema {
  const keyspaces: KeyspaceSchema[] = []
  let tables = new Map<string, TableSchema>()
  for (const line of SYSTEM_TABLES_TEXT.split('\n')) {
    if (line === '') continue
    if (line.startsWith('@')) {
      tables = new Map()
      keyspaces.push(systemKeyspace(line.slice(1), tables))
    } else {
      const table = systemTable(keyspaces.at(-1)!, line)
      tables.set(table.name, table)
    }
  }
  return initialSchema(keyspaces)
}

function systemKeyspace(name: string, tables: ReadonlyMap<string, TableSchema>): KeyspaceSchema {
  const factor = REPLICATED_KEYSPACES.get(name)
  const replication = new Map([['class', factor ? SIMPLE_STRATEGY : LOCAL_STRATEGY]])
  if (factor) replication.set('replication_factor', factor)
  return { name, replication, durableWrites: true, tables, types: new Map(), isVirtual: VIRTUAL_KEYSPACES.has(name) }
}

function systemTable(keyspace: KeyspaceSchema, line: string): TableSchema {
  const [name, partitionKey, clustering, regulars, options, comment] = line.split('|').map((part) => part.trim()) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const columns = [
    ...systemColumns(partitionKey, 'partition_key'),
    ...systemColumns(clustering, 'clustering'),
    ...systemColumns(regulars, 'regular'),
  ]
  return buildTable({
    id: systemTableId(keyspace.name, name),
    keyspace: keyspace.name,
    name,
    columns,
    nextColumnId: columns.filter((column) => column.kind === 'regular').length,
    isVirtual:
      keyspace.isVirtual ||
      keyspace.name === 'system_schema' ||
      ((keyspace.name === 'system' || keyspace.name === 'system_distributed') && ANSWERED.has(name)),
    options: systemOptions(options, comment),
  })
}

function systemColumns(text: string, kind: ColumnKind): ColumnSchema[] {
  if (text === '') return []
  return text.split('; ').map((part, index) => {
    const space = part.indexOf(' ')
    const reversed = part.endsWith(' desc')
    return {
      name: part.slice(0, space),
      id: kind === 'regular' ? index : -1,
      kind,
      position: kind === 'regular' ? -1 : index,
      type: parseTypeText(part.slice(space + 1, reversed ? -5 : undefined), new Map()),
      reversed,
      droppedAtMicros: null,
    }
  })
}

function systemOptions(text: string, comment: string): TableOptions {
  const given = new Map(text === '' ? [] : text.split(' ').map((part) => part.split('=') as [string, string]))
  const number = (name: string, otherwise: number) => Number(given.get(name) ?? otherwise)
  const compaction = given.get('compaction')
  return {
    ...DEFAULT_TABLE_OPTIONS,
    comment,
    gcGraceSeconds: number('gc_grace_seconds', DEFAULT_TABLE_OPTIONS.gcGraceSeconds),
    memtableFlushPeriodInMs: number('memtable_flush_period_in_ms', 0),
    defaultTimeToLive: number('default_time_to_live', 0),
    compaction: compaction ? systemCompaction(compaction) : DEFAULT_TABLE_OPTIONS.compaction,
  }
}

/** Class:key:value:key:value… */
function systemCompaction(text: string): ReadonlyMap<string, string> {
  const [name, ...rest] = text.split(':') as [string, ...string[]]
  const options = new Map([['class', name]])
  for (let i = 0; i < rest.length; i += 2) options.set(rest[i]!, rest[i + 1]!)
  return parseCompaction(options)
}
