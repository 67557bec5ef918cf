/**
 * What a secondary index is made of and what it can answer. Source: Cassandra 5.0.6's IndexTarget, CassandraIndex (the local table) and
 * StorageAttachedIndex (SAI).
 * Always: a target's text is read back as the very target that it was written from.
 */

import { quoteIdentifier } from '../types/identifier.ts'
import { isCollection, isMultiCell } from '../types/names.ts'
import type { CqlType, VectorType } from '../types/type.ts'
import type { ColumnSchema, IndexSchema, TableSchema } from './table.ts'

/** Of a column: its value (`simple`: of one cell, `full`: a frozen collection as one value), or parts of a collection of many cells. */
export type IndexPart = 'simple' | 'full' | 'keys' | 'values' | 'entries'

export interface IndexTarget {
  readonly column: ColumnSchema
  readonly part: IndexPart
}

/** How a relation looks at a column, as indexes know it. */
export type IndexOperator = '=' | 'IN' | 'RANGE' | 'CONTAINS' | 'CONTAINS KEY' | 'ENTRY' | 'ANN'

const SAI_CLASS = 'org.apache.cassandra.index.sai.StorageAttachedIndex'
const SAI_ALIASES: ReadonlySet<string> = new Set(['sai', 'storageattachedindex'])

/** Whether a class of USING is the storage-attached index, under its name or an alias. */
export function isSaiClass(className: string): boolean {
  return className === SAI_CLASS || SAI_ALIASES.has(className.toLowerCase())
}

/** All that is no local table is storage-attached: there are no other classes. */
export function isSai(index: IndexSchema): boolean {
  return index.kind === 'CUSTOM'
}

export function targetText({ column, part }: IndexTarget): string {
  const name = quoteIdentifier(column.name)
  return part === 'simple' ? name : `${part}(${name})`
}

/** The column and part that an index is on; null when the text names no column of the table. */
export function targetOf(table: TableSchema, index: IndexSchema): IndexTarget | null {
  const text = index.options.get('target') ?? ''
  const match = /^(keys|values|entries|full)\((.+)\)$/s.exec(text)
  const part = (match?.[1] ?? 'simple') as IndexPart
  const name = match?.[2] ?? text
  const column = table.columns.get(name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name)
  return column ? { column, part } : null
}

export function isFloatVector(type: CqlType): type is VectorType {
  return type.kind === 'vector' && type.element.kind === 'native' && type.element.name === 'float'
}

/** The index answers ORDER BY … ANN OF, and nothing else. */
export function isVectorIndex(index: IndexSchema, { column }: IndexTarget): boolean {
  return isSai(index) && column.type.kind === 'vector'
}

/** Values whose order an index keeps: numbers, times, addresses. Texts, booleans, uuids and frozen types are known by equality only. */
const ORDERED: ReadonlySet<string> = new Set([
  'tinyint',
  'smallint',
  'int',
  'bigint',
  'varint',
  'decimal',
  'float',
  'double',
  'date',
  'time',
  'timestamp',
  'timeuuid',
  'inet',
])

export function keepsOrder(type: CqlType): boolean {
  return type.kind === 'native' && ORDERED.has(type.name)
}

/** Whether an index on this target answers an operator on its column by itself. */
export function supports(index: IndexSchema, target: IndexTarget, operator: IndexOperator): boolean {
  const { column, part } = target
  if (isVectorIndex(index, target)) return operator === 'ANN'
  switch (part) {
    case 'simple':
      return operator === '=' || (operator === 'RANGE' && isSai(index) && keepsOrder(column.type))
    case 'full':
      return operator === '='
    case 'keys':
      return operator === 'CONTAINS KEY'
    case 'values':
      return operator === 'CONTAINS'
    case 'entries':
      return operator === 'ENTRY'
  }
}

/** The type of what the index holds: a column's value, a key or an element; of entries the value (the key stands beside it). */
export function termType({ column, part }: IndexTarget): CqlType {
  const { type } = column
  if (!isCollection(type) || !isMultiCell(type)) return type
  if (type.kind !== 'map') return type.element
  return part === 'keys' ? type.key : type.value
}
