/**
 * The schema as a value: records are applied to it and give a new one. Its version is the combination of a digest of each keyspace, table
 * and type, so that a change costs as much as what it changes, and two nodes with the same content have the same version.
 * Always: a SchemaState is never changed after it was given out; keyspaces that no record touched are the same objects as before.
 */

import { createHash } from 'node:crypto'
import { assert, unreachable } from '../base/assert.ts'
import { stampUuid, uuidText } from '../base/uuid.ts'
import { someType } from '../types/names.ts'
import type { UserType } from '../types/type.ts'
import { compareNames, emptyKeyspace, rebuildTable } from './build.ts'
import type { KeyspaceSchema, Schema } from './keyspace.ts'
import {
  keyspaceRecord,
  readTableRecord,
  readTypeRecord,
  type SchemaRecord,
  tableRecord,
  typeRecord,
} from './records.ts'
import type { TableSchema } from './table.ts'
import { replaceUserType } from './type-text.ts'

const DIGEST_BYTES = 16

class SchemaState implements Schema {
  readonly keyspaces: ReadonlyMap<string, KeyspaceSchema>
  readonly tablesById: ReadonlyMap<string, TableSchema>
  readonly epoch: number
  readonly version: string
  /** XOR of the digests of all records that are not built in. */
  readonly digest: Uint8Array

  constructor(
    keyspaces: ReadonlyMap<string, KeyspaceSchema>,
    tablesById: ReadonlyMap<string, TableSchema>,
    epoch: number,
    digest: Uint8Array,
  ) {
    this.keyspaces = keyspaces
    this.tablesById = tablesById
    this.epoch = epoch
    this.digest = digest
    this.version = versionOf(digest)
  }
}

/** A name-based UUID (version 3) of the digest. */
function versionOf(digest: Uint8Array): string {
  const hash = createHash('md5').update('polyxena schema').update(digest).digest()
  return uuidText(stampUuid(hash, 3))
}

/** A schema of these keyspaces and nothing else: the built-in ones. They do not count for the version. */
export function initialSchema(keyspaces: readonly KeyspaceSchema[]): Schema {
  const byId = new Map<string, TableSchema>()
  for (const keyspace of keyspaces) for (const table of keyspace.tables.values()) byId.set(table.id, table)
  const byName = new Map(keyspaces.map((keyspace) => [keyspace.name, keyspace]))
  return new SchemaState(byName, byId, 0, new Uint8Array(DIGEST_BYTES))
}

/** The schema after the records, applied in their order; its epoch is one more, or the one given. */
export function applyRecords(schema: Schema, records: readonly SchemaRecord[], epoch = schema.epoch + 1): Schema {
  assert(schema instanceof SchemaState, 'schemas are made by initialSchema and applyRecords')
  const draft = new Draft(schema)
  for (const record of records) draft.apply(record)
  return draft.finish(epoch)
}

/** Records that make the schema out of the built-in one: all that is not built in, and built-in keyspaces that were altered. */
export function snapshotRecords(schema: Schema, builtIn: Schema): SchemaRecord[] {
  const records: SchemaRecord[] = []
  for (const keyspace of schema.keyspaces.values()) {
    if (builtIn.keyspaces.get(keyspace.name) === keyspace) continue
    records.push(keyspaceRecord(keyspace))
    if (builtIn.keyspaces.has(keyspace.name)) continue
    for (const type of typesInOrder(keyspace.types)) records.push(typeRecord(type))
    for (const table of keyspace.tables.values()) records.push(tableRecord(table))
  }
  return records
}

/** User types so that each comes after those it is made of; otherwise by name. */
export function typesInOrder(types: ReadonlyMap<string, UserType>): UserType[] {
  const ordered = new Set<UserType>()
  const visit = (type: UserType): void => {
    if (ordered.has(type)) return
    for (const name of userTypesIn(type)) {
      const inner = types.get(name)
      if (inner && inner !== type) visit(inner)
    }
    ordered.add(type)
  }
  for (const name of [...types.keys()].sort(compareNames)) visit(types.get(name)!)
  return [...ordered]
}

/** Names of the user types that occur in the fields of one. */
function userTypesIn(type: UserType): Set<string> {
  const names = new Set<string>()
  for (const field of type.fieldTypes)
    someType(field, (inner) => {
      if (inner.kind === 'udt') names.add(inner.name)
      return false
    })
  return names
}

interface KeyspaceDraft {
  head: KeyspaceSchema
  tables: Map<string, TableSchema>
  types: Map<string, UserType>
}

/** Collects changes: copies a keyspace's maps at its first change only, so that many records cost little more than one. */
class Draft {
  readonly #base: SchemaState
  readonly #changed = new Map<string, KeyspaceDraft>()
  readonly #dropped = new Set<string>()
  readonly #tablesById: Map<string, TableSchema>
  readonly #digest: Uint8Array

  constructor(base: SchemaState) {
    this.#base = base
    this.#tablesById = new Map(base.tablesById)
    this.#digest = Uint8Array.from(base.digest)
  }

  apply(record: SchemaRecord): void {
    switch (record.kind) {
      case 'keyspace':
        this.#putKeyspace(record)
        break
      case 'drop_keyspace':
        this.#dropKeyspace(record.name)
        break
      case 'table': {
        const draft = this.#keyspace(record.table.keyspace)
        this.#putTable(draft, readTableRecord(record.table, draft.types))
        break
      }
      case 'drop_table':
        this.#dropTable(this.#keyspace(record.keyspace), record.name)
        break
      case 'type':
        this.#putType(record)
        break
      case 'drop_type': {
        const { types } = this.#keyspace(record.keyspace)
        this.#count(typeRecord(types.get(record.name)!))
        types.delete(record.name)
        break
      }
      default:
        unreachable(record)
    }
  }

  finish(epoch: number): Schema {
    const keyspaces = new Map<string, KeyspaceSchema>()
    for (const [name, keyspace] of this.#base.keyspaces) if (!this.#dropped.has(name)) keyspaces.set(name, keyspace)
    for (const [name, { head, tables, types }] of this.#changed) keyspaces.set(name, { ...head, tables, types })
    return new SchemaState(keyspaces, this.#tablesById, epoch, this.#digest)
  }

  /** Adds the record to the digest, or takes it out again. */
  #count(record: SchemaRecord): void {
    const digest = createHash('md5').update(JSON.stringify(record)).digest()
    for (let i = 0; i < DIGEST_BYTES; i++) this.#digest[i] = this.#digest[i]! ^ digest[i]!
  }

  #keyspace(name: string): KeyspaceDraft {
    let draft = this.#changed.get(name)
    if (draft) return draft
    const base = this.#dropped.has(name) ? undefined : this.#base.keyspaces.get(name)
    assert(base !== undefined, `a record of keyspace ${name}, which is not there`)
    draft = { head: base, tables: new Map(base.tables), types: new Map(base.types) }
    this.#changed.set(name, draft)
    return draft
  }

  #putKeyspace(record: Extract<SchemaRecord, { kind: 'keyspace' }>): void {
    const exists = this.#changed.has(record.name) || this.#base.keyspaces.has(record.name)
    const replication = new Map(record.replication)
    if (exists && !(this.#dropped.has(record.name) && !this.#changed.has(record.name))) {
      const draft = this.#keyspace(record.name)
      this.#count(keyspaceRecord(draft.head))
      draft.head = { ...draft.head, replication, durableWrites: record.durableWrites }
      this.#count(keyspaceRecord(draft.head))
    } else {
      const head = emptyKeyspace(record.name, replication, record.durableWrites)
      this.#changed.set(record.name, { head, tables: new Map(), types: new Map() })
      this.#count(keyspaceRecord(head))
    }
  }

  #dropKeyspace(name: string): void {
    const draft = this.#keyspace(name)
    for (const table of [...draft.tables.keys()]) this.#dropTable(draft, table)
    for (const type of draft.types.values()) this.#count(typeRecord(type))
    this.#count(keyspaceRecord(draft.head))
    this.#changed.delete(name)
    this.#dropped.add(name)
  }

  #putTable(draft: KeyspaceDraft, table: TableSchema): void {
    const before = draft.tables.get(table.name)
    if (before) {
      this.#count(tableRecord(before))
      if (before.id !== table.id) this.#tablesById.delete(before.id)
    }
    draft.tables.set(table.name, table)
    this.#tablesById.set(table.id, table)
    this.#count(tableRecord(table))
  }

  #dropTable(draft: KeyspaceDraft, name: string): void {
    const table = draft.tables.get(name)
    assert(table !== undefined, `a record drops table ${name}, which is not there`)
    this.#count(tableRecord(table))
    draft.tables.delete(name)
    this.#tablesById.delete(table.id)
  }

  /** A new definition of a type reaches every type and table that is made of it. */
  #putType(record: Extract<SchemaRecord, { kind: 'type' }>): void {
    const draft = this.#keyspace(record.keyspace)
    const type = readTypeRecord(record, draft.types)
    const before = draft.types.get(type.name)
    if (before) this.#count(typeRecord(before))
    draft.types.set(type.name, type)
    this.#count(typeRecord(type))
    if (!before) return
    for (const [name, other] of draft.types)
      if (name !== type.name) draft.types.set(name, replaceUserType(other, type) as UserType)
    for (const table of [...draft.tables.values()]) {
      let touched = false
      const columns = [...table.columns.values()].map((column) => {
        const replaced = replaceUserType(column.type, type)
        if (replaced === column.type) return column
        touched = true
        return { ...column, type: replaced }
      })
      if (!touched) continue
      const rebuilt = rebuildTable(table, { columns })
      draft.tables.set(table.name, rebuilt)
      this.#tablesById.set(table.id, rebuilt)
    }
  }
}
