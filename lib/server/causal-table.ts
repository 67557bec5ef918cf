/** What the leader of a write has to know of tables that keep concurrent versions. */
import type { CausalTable } from '../../storage/model/causal/siblings.ts'
import { TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { TableMap } from '../../storage/model/table-map.ts'
import { uuidText } from '../base/uuid.ts'
import type { Schema } from '../schema/keyspace.ts'
import { maxSiblingsOf } from '../schema/resolution.ts'

export class CausalTables {
  readonly #current: () => Schema
  #schema: Schema | null = null
  /** Those of the schema that were asked for. */
  #tables = new TableMap<CausalTable>()

  constructor(current: () => Schema) {
    this.#current = current
  }

  /** The table of a mutation. One that was dropped meanwhile refuses nothing: what is written to it is passed over. */
  of(mutation: Buffer): CausalTable {
    const schema = this.#current()
    if (schema !== this.#schema) {
      this.#schema = schema
      this.#tables = new TableMap()
    }
    let table = this.#tables.find(mutation, 0)
    if (table === null) {
      const id = uuidText(mutation.subarray(0, TABLE_ID_BYTES))
      table = causalTableOf(schema, id)
      this.#tables.set(id, table)
    }
    return table
  }
}

function causalTableOf({ tablesById }: Schema, id: string): CausalTable {
  const table = tablesById.get(id)
  if (table === undefined) return { name: id, maxSiblings: Number.POSITIVE_INFINITY }
  return { name: `${table.keyspace}.${table.name}`, maxSiblings: maxSiblingsOf(table.options) }
}
