/**
 * A table's shape: what must be known of its columns to take the bytes of its SSTables for rows, as text that goes with them (docs/formats.md, "Shape").
 * So a file can be read without the node that wrote it, and restored into a table that was dropped and made again, whose columns have other ids.
 * Always: within one life of a table an id, once given, means the same column for ever. A table that was dropped and made again may have the id of the
 * old one (WITH ID = …) and yet other columns under the same ids: only shapes tell.
 */
import { parseTypeClassName, typeToClassName } from '../types/class-name.ts'
import { typeToCql } from '../types/names.ts'
import type { CqlType } from '../types/type.ts'
import type { ColumnSchema, TableSchema } from './table.ts'

export interface ShapeKey {
  readonly name: string
  /** A Java class name, without its package. */
  readonly type: string
  readonly reversed: boolean
}

export interface ShapeColumn {
  readonly id: number
  readonly name: string
  readonly kind: 'static' | 'regular'
  readonly type: string
  /** Decimal µs: cells at or below belong to an earlier column of the name, and are void; null: none was dropped. */
  readonly droppedAt: string | null
}

export interface ShapeDropped {
  readonly id: number
  readonly name: string
  /** Decimal µs. */
  readonly droppedAt: string
}

export interface TableShape {
  readonly keyspace: string
  readonly name: string
  readonly isCounter: boolean
  readonly partitionKey: readonly ShapeKey[]
  readonly clustering: readonly ShapeKey[]
  readonly columns: readonly ShapeColumn[]
  /** Columns that are no more: their cells are void. */
  readonly dropped: readonly ShapeDropped[]
}

const MARSHAL = 'org.apache.cassandra.db.marshal.'

export function shapeOf(table: TableSchema): TableShape {
  return {
    keyspace: table.keyspace,
    name: table.name,
    isCounter: table.isCounter,
    partitionKey: table.partitionKey.map(shapeKey),
    clustering: table.clustering.map(shapeKey),
    columns: [...table.statics, ...table.regulars].map((column) => ({
      id: column.id,
      name: column.name,
      kind: column.kind === 'static' ? 'static' : 'regular',
      type: className(column.type),
      droppedAt: column.droppedAtMicros === null ? null : String(column.droppedAtMicros),
    })),
    dropped: [...table.dropped.values()]
      .filter((column) => !table.columnsById[column.id])
      .map(({ id, name, droppedAtMicros }) => ({ id, name, droppedAt: String(droppedAtMicros) })),
  }
}

function shapeKey(column: ColumnSchema): ShapeKey {
  return { name: column.name, type: className(column.type), reversed: column.reversed }
}

function className(type: CqlType): string {
  return typeToClassName(type).replaceAll(MARSHAL, '')
}

export function encodeShape(shape: TableShape): string {
  return JSON.stringify(shape)
}

/** Null when the text is no shape. */
export function parseShape(text: string): TableShape | null {
  try {
    const shape = JSON.parse(text) as TableShape
    const lists = [shape.partitionKey, shape.clustering, shape.columns, shape.dropped]
    return lists.every(Array.isArray) ? shape : null
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null
    throw error
  }
}

/** What becomes of a column's cells: the id of the table's own column, and up to which timestamp they are void; null: all of them are. */
export interface ColumnFate {
  readonly id: number
  readonly voidUpToMicros: bigint | null
}

export type ShapeFit =
  | { readonly kind: 'same' }
  | { readonly kind: 'mapped'; readonly columns: ReadonlyMap<number, ColumnFate | null> }
  | { readonly kind: 'refused'; readonly why: string }

/** Whether rows of one shape can be taken into a table of another, and under which column ids. */
export function fitShape(from: TableShape, to: TableShape): ShapeFit {
  const why = keysDiffer(from, to)
  if (why !== null) return { kind: 'refused', why }
  const columns = new Map<number, ColumnFate | null>()
  let same = true
  for (const column of from.columns) {
    const own = to.columns.find(({ name }) => name === column.name)
    if (!own) {
      const gone = to.dropped.find(({ name }) => name === column.name)
      if (!gone) return { kind: 'refused', why: `the table has no column ${column.name}` }
      columns.set(column.id, null)
      if (gone.id !== column.id) same = false
      continue
    }
    if (own.kind !== column.kind) return { kind: 'refused', why: `column ${column.name} is ${own.kind}` }
    if (!typeFits(parseTypeClassName(column.type), parseTypeClassName(own.type)))
      return {
        kind: 'refused',
        why: `column ${column.name} has another type: ${cql(column.type)}, not ${cql(own.type)}`,
      }
    columns.set(column.id, { id: own.id, voidUpToMicros: column.droppedAt === null ? null : BigInt(column.droppedAt) })
    if (own.id !== column.id || !voidToo(own.droppedAt, column.droppedAt)) same = false
  }
  for (const gone of from.dropped) {
    columns.set(gone.id, null)
    const own = to.columns.find(({ id }) => id === gone.id)
    if (own && !(own.name === gone.name && voidToo(own.droppedAt, gone.droppedAt))) same = false
  }
  return same ? { kind: 'same' } : { kind: 'mapped', columns }
}

/** Whether cells that are void by one time are void by the other. */
function voidToo(own: string | null, other: string | null): boolean {
  return other === null || (own !== null && BigInt(own) >= BigInt(other))
}

function keysDiffer(from: TableShape, to: TableShape): string | null {
  if (from.isCounter !== to.isCounter) return from.isCounter ? 'it is of a counter table' : 'the table has counters'
  for (const part of ['partitionKey', 'clustering'] as const) {
    const word = part === 'clustering' ? 'clustering' : 'partition key'
    if (from[part].length !== to[part].length)
      return `its ${word} has ${from[part].length} columns, the table's ${to[part].length}`
    for (const [i, column] of from[part].entries()) {
      const own = to[part][i]!
      if (!typeFits(parseTypeClassName(column.type), parseTypeClassName(own.type)))
        return `${word} column ${column.name} has another type: ${cql(column.type)}, not ${cql(own.type)}`
      if (column.reversed !== own.reversed) return `clustering column ${column.name} is ordered the other way`
    }
  }
  return null
}

function cql(type: string): string {
  return typeToCql(parseTypeClassName(type))
}

/** The same type, but for keyspaces of user types, and fields that were added to their ends. */
function typeFits(from: CqlType, to: CqlType): boolean {
  if (from.kind !== to.kind) return false
  if (from.kind === 'udt' && to.kind === 'udt')
    return (
      from.frozen === to.frozen &&
      from.fieldNames.length <= to.fieldNames.length &&
      from.fieldNames.every((name, i) => name === to.fieldNames[i] && typeFits(from.fieldTypes[i]!, to.fieldTypes[i]!))
    )
  if ((from.kind === 'list' && to.kind === 'list') || (from.kind === 'set' && to.kind === 'set'))
    return from.frozen === to.frozen && typeFits(from.element, to.element)
  if (from.kind === 'map' && to.kind === 'map')
    return from.frozen === to.frozen && typeFits(from.key, to.key) && typeFits(from.value, to.value)
  if (from.kind === 'tuple' && to.kind === 'tuple')
    return (
      from.elements.length === to.elements.length &&
      from.elements.every((element, i) => typeFits(element, to.elements[i]!))
    )
  if (from.kind === 'vector' && to.kind === 'vector')
    return from.dimension === to.dimension && typeFits(from.element, to.element)
  return typeToClassName(from) === typeToClassName(to)
}
