/**
 * COMPACT STORAGE: tables of the form that Thrift had. Source: Apache Cassandra 5.0.6, which keeps two kinds of them: static ones (no clustering columns, any number of
 * values) and dense ones (clustering columns, at most one value).
 * Always: a row of such a table is there as long as one of its cells is, for INSERT marks no row; only where there is no value column can nothing but the mark say that
 * a row is there. To statements and storage a table is what its CREATE says. What Cassandra has besides are names of columns that no statement reaches: they are kept to be
 * shown in system_schema, where drivers know such tables by them, and because nothing else may take them.
 */
import { invalid } from '../base/errors.ts'
import { EMPTY_TYPE_CLASS, isMultiCell, NATIVE } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'
import type { ColumnKind, ColumnSchema, TableSchema } from './table.ts'

/** Names of columns that no statement reaches. */
export interface CompactStorage {
  /** The clustering column of a static table, whose own columns Cassandra keeps in the static row; null: the table has clustering columns. */
  readonly clustering: string | null
  /** The value column of a static table, or of a dense one without a value of its own; null: it has one. */
  readonly value: string | null
}

/** No clustering columns: Cassandra keeps its values in the static row. */
export function isStaticCompact(table: Pick<TableSchema, 'compact'>): boolean {
  return table.compact !== null && table.compact.clustering !== null
}

/** INSERT marks its rows as there, whatever cells they have. */
export function marksRows(table: TableSchema): boolean {
  return table.compact === null || isWithoutValue(table)
}

/** The last clustering columns of a row may have no value. */
export function takesShortKeys(table: TableSchema): boolean {
  return table.compact !== null && table.clustering.length > 1
}

/** The clustering column that is never empty, as it was the whole name of a cell; null: there is none. */
export function neverEmptyColumn(table: TableSchema): ColumnSchema | null {
  return table.compact !== null && table.clustering.length === 1 ? table.clustering[0]! : null
}

/** The value column that each INSERT has to name; null: there is none. */
export function mandatoryColumn(table: TableSchema): ColumnSchema | null {
  return table.compact === null || isStaticCompact(table) ? null : (table.regulars[0] ?? null)
}

function isWithoutValue(table: TableSchema): boolean {
  return !isStaticCompact(table) && table.regulars.length === 0
}

export function hasHiddenColumn(table: TableSchema, name: string): boolean {
  return table.compact !== null && (table.compact.clustering === name || table.compact.value === name)
}

/** What system_schema tells of the table besides its counters. */
export function storageFlags(table: TableSchema): readonly string[] {
  if (table.compact === null) return ['compound']
  if (isStaticCompact(table)) return []
  return table.clustering.length > 1 ? ['compound', 'dense'] : ['dense']
}

/** The columns as Cassandra has them, the hidden ones included. */
export function columnsInStorage(table: TableSchema): ColumnSchema[] {
  const columns = [...table.columns.values()]
  if (table.compact === null) return columns
  const shown: ColumnSchema[] = columns.map((column) => ({ ...column, kind: kindInStorage(table, column.kind) }))
  const { clustering, value } = table.compact
  const hidden = { id: -1, reversed: false, droppedAtMicros: null }
  if (clustering !== null)
    shown.push({ ...hidden, name: clustering, kind: 'clustering', position: 0, type: NATIVE.text })
  if (value !== null)
    shown.push({ ...hidden, name: value, kind: 'regular', position: -1, type: hiddenValueType(table) })
  return shown
}

/** The kind of a column, present or dropped, as Cassandra has it. */
export function kindInStorage(table: TableSchema, kind: ColumnKind): ColumnKind {
  return kind === 'regular' && isStaticCompact(table) ? 'static' : kind
}

function hiddenValueType(table: TableSchema): CqlType {
  if (!isStaticCompact(table)) return { kind: 'custom', className: EMPTY_TYPE_CLASS }
  return table.isCounter ? NATIVE.counter : NATIVE.blob
}

export interface CompactDefinition {
  readonly columns: readonly { readonly name: string; readonly isStatic: boolean }[]
  readonly clustering: readonly string[]
}

/** What a new table hides; `others` are its columns outside the key. Throws INVALID where the table cannot be compact. */
export function compactStorage(
  { columns, clustering }: CompactDefinition,
  others: readonly { readonly name: string; readonly type: CqlType }[],
): CompactStorage {
  if (others.some(({ type }) => isMultiCell(type)))
    throw invalid('Non-frozen collections and UDTs are not supported with COMPACT STORAGE')
  if (columns.some(({ isStatic }) => isStatic))
    throw invalid('Static columns are not supported in COMPACT STORAGE tables')
  const isDense = clustering.length > 0
  if (!isDense && others.length === 0) throw invalid('No definition found that is not part of the PRIMARY KEY')
  if (isDense && others.length > 1)
    throw invalid(
      'COMPACT STORAGE with composite PRIMARY KEY allows no more than one column not part of the PRIMARY KEY ' +
        `(got: ${others.map(({ name }) => name).join(', ')})`,
    )
  const names = new Set(columns.map(({ name }) => name))
  return {
    clustering: isDense ? null : freeName(names, 'column1', (i) => `column${i + 1}`),
    value: isDense && others.length > 0 ? null : freeName(names, 'value', (i) => `value${i}`),
  }
}

function freeName(taken: ReadonlySet<string>, first: string, numbered: (i: number) => string): string {
  let name = first
  for (let i = 1; taken.has(name); i++) name = numbered(i)
  return name
}
