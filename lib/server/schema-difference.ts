/**
 * What lies between two schemas, in the words in which clients are told of it: for a node that took over many changes at once.
 */
import type { KeyspaceSchema, Schema, SchemaChange } from '../schema/keyspace.ts'
import { type SchemaRecord, tableRecord, typeRecord } from '../schema/records.ts'

/** Drops first, then keyspaces, types and tables in the order in which they can be made. */
export function schemaDifference(before: Schema, after: Schema): SchemaChange[] {
  const dropped: SchemaChange[] = []
  const made: SchemaChange[] = []
  for (const keyspace of before.keyspaces.values()) {
    const now = after.keyspaces.get(keyspace.name)
    if (now === keyspace) continue
    if (!now) {
      dropped.push({ change: 'DROPPED', target: 'KEYSPACE', keyspace: keyspace.name, name: '' })
      continue
    }
    for (const name of keyspace.tables.keys())
      if (now.tables.get(name)?.id !== keyspace.tables.get(name)!.id)
        dropped.push({ change: 'DROPPED', target: 'TABLE', keyspace: keyspace.name, name })
    for (const name of keyspace.types.keys())
      if (!now.types.has(name)) dropped.push({ change: 'DROPPED', target: 'TYPE', keyspace: keyspace.name, name })
  }
  for (const keyspace of after.keyspaces.values()) {
    const earlier = before.keyspaces.get(keyspace.name)
    if (earlier === keyspace) continue
    const { name } = keyspace
    if (!earlier) made.push({ change: 'CREATED', target: 'KEYSPACE', keyspace: name, name: '' })
    else if (isAltered(earlier, keyspace))
      made.push({ change: 'UPDATED', target: 'KEYSPACE', keyspace: name, name: '' })
    for (const [type, definition] of keyspace.types) {
      const known = earlier?.types.get(type)
      if (!known || !isSame(typeRecord(known), typeRecord(definition)))
        made.push({ change: known ? 'UPDATED' : 'CREATED', target: 'TYPE', keyspace: name, name: type })
    }
    for (const table of keyspace.tables.values()) {
      const known = earlier?.tables.get(table.name)
      if (!known || !isSame(tableRecord(known), tableRecord(table)))
        made.push({
          change: known?.id === table.id ? 'UPDATED' : 'CREATED',
          target: 'TABLE',
          keyspace: name,
          name: table.name,
        })
    }
  }
  return [...dropped, ...made]
}

function isAltered(before: KeyspaceSchema, after: KeyspaceSchema): boolean {
  if (before.durableWrites !== after.durableWrites) return true
  return JSON.stringify([...before.replication]) !== JSON.stringify([...after.replication])
}

function isSame(before: SchemaRecord, after: SchemaRecord): boolean {
  return JSON.stringify(before) === JSON.stringify(after)
}
