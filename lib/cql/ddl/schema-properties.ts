/**
 * WITH … of a DDL statement, from the tree to what lib/schema reads. A name or key twice is an error of syntax, as in Cassandra.
 */
import { invalid, syntaxError } from '../../base/errors.ts'
import type { PropertyMap } from '../../schema/properties.ts'
import { quoteIdentifier } from '../../types/identifier.ts'
import type { Property, QualifiedName } from '../ast.ts'

export function propertyMap(properties: readonly Property[]): PropertyMap {
  const map = new Map<string, string | ReadonlyMap<string, string>>()
  for (const { name, value } of properties) {
    const read = value.kind === 'literal' ? value.text : entryMap(value.entries)
    if (map.has(name)) throw syntaxError(`Multiple definitions for property '${name}'`)
    map.set(name, read)
  }
  return map
}

function entryMap(entries: readonly (readonly [string, string])[]): ReadonlyMap<string, string> {
  const map = new Map<string, string>()
  for (const [key, value] of entries) {
    if (map.has(key)) throw syntaxError(`Multiple definition for property ${key}`)
    map.set(key, value)
  }
  return map
}

/** Throws INVALID when CLUSTERING ORDER BY names a column twice. The message has the keyspace where the statement has it. */
export function refuseRepeatedOrder(
  order: readonly { readonly column: string }[],
  what: 'table' | 'view',
  { keyspace, name }: QualifiedName,
): void {
  const seen = new Set<string>()
  const shown = [...(keyspace === null ? [] : [keyspace]), name].map(quoteIdentifier).join('.')
  for (const { column } of order) {
    if (seen.has(column))
      throw invalid(`Duplicate column '${column}' in CLUSTERING ORDER BY clause for ${what} '${shown}'`)
    seen.add(column)
  }
}
