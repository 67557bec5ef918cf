/**
 * CREATE, ALTER and DROP KEYSPACE as pure changes. Source: CQL 3.4.7; checks, messages and warnings are those of Cassandra 5.0.6.
 */
import { configError, invalid, RequestError } from '../base/errors.ts'
import { emptyKeyspace } from './build.ts'
import { changed, checkModifiable, type Outcome, unchanged } from './changes.ts'
import type { Schema } from './keyspace.ts'
import { booleanProperty, checkNames, mapProperty, type PropertyMap } from './properties.ts'
import { keyspaceRecord } from './records.ts'
import { type Datacenters, parseReplication, replicationFactor, replicationWarnings } from './replication.ts'
import { isLocalSystemKeyspace } from './system-tables.ts'

const NAMES: ReadonlySet<string> = new Set(['replication', 'durable_writes'])
/** Length of a name that fits into a directory's. */
const NAME_LENGTH_MAX = 48

export interface KeyspaceDefinition {
  readonly name: string
  readonly properties: PropertyMap
}

function checkName(name: string): void {
  if (!/^[0-9A-Za-z_]+$/.test(name))
    throw invalid(
      'Keyspace name must not be empty and must contain alphanumeric or underscore characters only ' +
        `(got "${name}")`,
    )
  if (name.length > NAME_LENGTH_MAX)
    throw invalid(
      `Keyspace name must not be more than ${NAME_LENGTH_MAX} characters long (got ${name.length} characters for "${name}")`,
    )
}

function checkProperties(properties: PropertyMap): ReadonlyMap<string, string> | null {
  checkNames(properties, NAMES)
  const replication = mapProperty(properties, 'replication')
  if (replication && replication.size > 0 && !replication.has('class'))
    throw configError('Missing replication strategy class')
  return replication
}

export function createKeyspace(
  schema: Schema,
  definition: KeyspaceDefinition & { readonly ifNotExists: boolean },
  datacenters: Datacenters,
  warnings: string[],
): Outcome {
  const { name, properties } = definition
  if (isLocalSystemKeyspace(name)) throw invalid(`System keyspace '${name}' is not user-modifiable`)
  checkName(name)
  const given = checkProperties(properties)
  if (!given) throw invalid("Missing mandatory option 'replication'")
  if (schema.keyspaces.has(name)) {
    if (definition.ifNotExists) return unchanged(schema)
    throw new RequestError('ALREADY_EXISTS', `Cannot add existing keyspace "${name}"`, { keyspace: name, name: '' })
  }
  const durableWrites = booleanProperty(properties, 'durable_writes', true)
  if (!given.has('class')) throw configError('Missing replication strategy class')
  const replication = parseReplication(name, given, null, datacenters)
  warnings.push(...replicationWarnings(name, replication, datacenters))
  const record = keyspaceRecord(emptyKeyspace(name, replication, durableWrites))
  return changed(schema, [record], { change: 'CREATED', target: 'KEYSPACE', keyspace: name, name: '' })
}

export function alterKeyspace(
  schema: Schema,
  definition: KeyspaceDefinition & { readonly ifExists: boolean },
  datacenters: Datacenters,
  warnings: string[],
): Outcome {
  const { name, properties } = definition
  checkModifiable(name, `keyspace ${name}`, 'ALTER')
  const given = checkProperties(properties)
  const keyspace = schema.keyspaces.get(name)
  if (!keyspace) {
    if (definition.ifExists) return unchanged(schema)
    throw invalid(`Keyspace '${name}' doesn't exist`)
  }
  const durableWrites = booleanProperty(properties, 'durable_writes', keyspace.durableWrites)
  const replication = given?.has('class')
    ? parseReplication(name, given, keyspace.replication, datacenters)
    : keyspace.replication
  const before = replicationFactor(keyspace.replication)
  warnings.push(...replicationWarnings(name, replication, datacenters))
  const record = keyspaceRecord({ ...keyspace, replication, durableWrites })
  if (JSON.stringify(record) === JSON.stringify(keyspaceRecord(keyspace))) return unchanged(schema)
  if (before < replicationFactor(replication))
    warnings.push('When increasing replication factor you need to run a full (-full) repair to distribute the data.')
  return changed(schema, [record], { change: 'UPDATED', target: 'KEYSPACE', keyspace: name, name: '' })
}

export function dropKeyspace(schema: Schema, name: string, ifExists: boolean): Outcome {
  checkModifiable(name, `keyspace ${name}`, 'DROP')
  checkName(name)
  if (!schema.keyspaces.has(name)) {
    if (ifExists) return unchanged(schema)
    throw invalid(`Keyspace '${name}' doesn't exist`)
  }
  const change = { change: 'DROPPED', target: 'KEYSPACE', keyspace: name, name: '' } as const
  return changed(schema, [{ kind: 'drop_keyspace', name }], change)
}
