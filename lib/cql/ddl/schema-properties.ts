/**
 * WITH … of a DDL statement, from the tree to what lib/schema reads. A name or key twice is an error of syntax, as in Cassandra.
 */
import { syntaxError } from '../../base/errors.ts'
import type { PropertyMap } from '../../schema/properties.ts'
import type { Property } from '../ast.ts'

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
