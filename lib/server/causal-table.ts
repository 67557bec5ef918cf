/** What the leader of a write has to know of a table that keeps concurrent versions. */
import type { CausalTable } from '../../cluster/coordinator/causal-leader.ts'
import type { Schema } from '../schema/keyspace.ts'
import { maxSiblingsOf } from '../schema/resolution.ts'

/** A table that was dropped meanwhile refuses nothing: what is written to it is passed over. */
export function causalTableOf({ tablesById }: Schema, id: string): CausalTable {
  const table = tablesById.get(id)
  if (table === undefined) return { name: id, maxSiblings: Number.POSITIVE_INFINITY }
  return { name: `${table.keyspace}.${table.name}`, maxSiblings: maxSiblingsOf(table.options) }
}
