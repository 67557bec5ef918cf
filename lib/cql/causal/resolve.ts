/**
 * Ready-made resolvers: what becomes of the siblings of a row where its table says it, column by column. Siblings stay as many as they are unless
 * every column is resolved: then the key has one row.
 *
 * newest: what the version with the greatest counter (hybrid clock) says, null included. max, min: by the column's type; null is less than nothing
 * and greater than nothing. union: of sets and maps, of two entries of one key that of the newer version. or-set: is none of this, its elements are
 * merged where they are stored.
 * Always: the outcome depends on the versions alone, not on the order in which they came; ties go to the newer one, then to the greater dot.
 */
import type { PartitionData } from '../../../storage/model/command.ts'
import { RowData } from '../../../storage/model/command.ts'
import { RowReader } from '../../../storage/model/row.ts'
import { RowWriter } from '../../../storage/model/row-writer.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { type Resolver as ColumnResolver, resolverOf, resolversOf } from '../../schema/resolution.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { assembleMap, assembleSet } from '../../types/assemble.ts'
import { splitCollection } from '../../types/collection-parts.ts'
import { compare } from '../../types/compare.ts'
import { isMultiCell } from '../../types/names.ts'
import { RowValues } from '../select/select-values.ts'

/** A version as resolvers see it. */
export interface Version {
  readonly row: Buffer
  readonly dot: Buffer
  readonly counter: number
}

interface ResolvedColumn {
  readonly column: ColumnSchema
  readonly resolver: ColumnResolver
}

/** Null: the table's siblings are shown as they are. */
export function resolverPlan(table: TableSchema): Resolver | null {
  const resolvers = resolversOf(table.options)
  const columns = table.regulars.map((column) => ({ column, resolver: resolverOf(resolvers, column) }))
  const areAllResolved =
    columns.length === 0
      ? typeof resolvers === 'string' && resolvers !== 'siblings'
      : columns.every(({ resolver }) => resolver !== 'siblings')
  const own = columns.filter(({ resolver }) => resolver !== 'or-set').sort((a, b) => a.column.id - b.column.id)
  if (!areAllResolved && own.every(({ resolver }) => resolver === 'siblings')) return null
  return new Resolver(table, own, areAllResolved)
}

/** Of no partition: no key column is looked at. */
const NO_PARTITION: PartitionData = { position: Buffer.alloc(0), key: Buffer.alloc(0), staticRow: null, rows: [] }
const NO_CLUSTERING = Buffer.alloc(0)

/** What one table makes of the siblings of a row. */
export class Resolver {
  /** By ascending column id. */
  readonly #columns: readonly ResolvedColumn[]
  readonly #areAllResolved: boolean
  readonly #isNewest: boolean
  /** Columns whose values are looked at, and where each is among them. */
  readonly #values: RowValues
  readonly #valueAt: ReadonlyMap<ColumnSchema, number>
  readonly #reader = new RowReader()

  constructor(table: TableSchema, columns: readonly ResolvedColumn[], areAllResolved: boolean) {
    this.#columns = columns
    this.#areAllResolved = areAllResolved
    this.#isNewest = areAllResolved && columns.every(({ resolver }) => resolver === 'newest')
    const compared = columns
      .filter(({ resolver, column }) => looksAtValues(resolver, column))
      .map(({ column }) => column)
    this.#values = new RowValues(
      table,
      compared.map((column) => ({ column, part: 'value' })),
    )
    this.#valueAt = new Map(compared.map((column, i) => [column, i]))
  }

  /** Several versions, in order of their dots, as the rows that are shown. */
  resolve(versions: readonly Version[], nowSeconds: number): Version[] {
    const byAge = [...versions].sort((a, b) => a.counter - b.counter || Buffer.compare(a.dot, b.dot))
    const newest = byAge[byAge.length - 1]!
    if (this.#isNewest) return [newest]
    const cells = new Map(byAge.map((version) => [version, this.#firstCells(version.row)]))
    const values = new Map(byAge.map((version) => [version, this.#valuesOf(version, nowSeconds)]))
    const sources = this.#columns.map((one) => this.#source(one, byAge, values, nowSeconds))
    const shown = this.#areAllResolved ? [newest] : versions
    return shown.map((version) => ({ ...version, row: this.#build(version, sources, cells) }))
  }

  #valuesOf(version: Version, nowSeconds: number): readonly (Buffer | null)[] {
    if (this.#valueAt.size === 0) return []
    this.#values.partition(NO_PARTITION, nowSeconds)
    this.#values.load(RowData.of(NO_CLUSTERING, version.row))
    return this.#values.copy()
  }

  /** Where the cells of each column begin. */
  #firstCells(row: Buffer): ReadonlyMap<number, number> {
    const first = new Map<number, number>()
    const reader = this.#reader.reset(row)
    while (reader.next()) if (!first.has(reader.columnId)) first.set(reader.columnId, reader.cellStart)
    return first
  }

  #source(
    { column, resolver }: ResolvedColumn,
    byAge: readonly Version[],
    values: ReadonlyMap<Version, readonly (Buffer | null)[]>,
    nowSeconds: number,
  ): Source {
    const newest = byAge[byAge.length - 1]!
    if (resolver === 'siblings') return { kind: 'own' }
    if (resolver === 'newest') return { kind: 'version', version: newest }
    const at = this.#valueAt.get(column)
    if (resolver === 'union' && at === undefined)
      return { kind: 'cells', cells: this.#unitedCells(column, byAge, nowSeconds) }
    const given = byAge.flatMap((version) => {
      const value = values.get(version)![at!]!
      return value === null ? [] : [{ version, value }]
    })
    if (given.length === 0) return { kind: 'version', version: newest }
    if (resolver === 'union')
      return {
        kind: 'value',
        value: united(
          column,
          given.map(({ value }) => value),
        ),
        like: given[given.length - 1]!.version,
      }
    let best = given[0]!
    for (const other of given) {
      const order = compare(column.type, other.value, best.value)
      if (order === 0 || order > 0 === (resolver === 'max')) best = other
    }
    return { kind: 'version', version: best.version }
  }

  /** The live cells of a column of many cells in all versions, by ascending path. */
  #unitedCells(column: ColumnSchema, byAge: readonly Version[], nowSeconds: number): readonly CellPlace[] {
    const byPath = new Map<string, CellPlace & { readonly path: Buffer }>()
    for (const { row } of byAge) {
      const reader = this.#reader.reset(row)
      while (reader.next()) {
        if (reader.columnId !== column.id || !reader.isLive(nowSeconds)) continue
        const path = row.subarray(reader.pathStart, reader.pathEnd)
        byPath.set(path.toString('latin1'), { row, start: reader.cellStart, path })
      }
    }
    return [...byPath.values()].sort((a, b) => Buffer.compare(a.path, b.path))
  }

  #build(own: Version, sources: readonly Source[], cells: ReadonlyMap<Version, ReadonlyMap<number, number>>): Buffer {
    const out = new ByteWriter(own.row.length + 64)
    const writer = new RowWriter(out)
    const reader = this.#reader.reset(own.row)
    writer.begin()
    writer.copyLiveness(reader)
    let last = -1
    for (let i = 0; i < sources.length; i++) {
      const { id } = this.#columns[i]!.column
      const source = sources[i]!
      last = id
      if (source.kind === 'cells')
        for (const { row, start } of source.cells) {
          reader.reset(row)
          reader.cellEnd = start
          reader.next()
          writer.copyCell(reader)
        }
      else {
        const version = source.kind === 'own' ? own : source.kind === 'version' ? source.version : source.like
        const start = cells.get(version)!.get(id)
        if (start === undefined) continue
        reader.reset(version.row)
        reader.cellEnd = start
        if (source.kind === 'value') {
          reader.next()
          writer.cell(id, reader.tsHigh, reader.tsLow, source.value)
        } else while (reader.next() && reader.columnId === id) writer.copyCell(reader)
      }
    }
    // What is not of a column: how the key was spelled.
    reader.reset(own.row)
    while (reader.next()) if (reader.columnId > last) writer.copyCell(reader)
    writer.end()
    return out.view()
  }
}

interface CellPlace {
  readonly row: Buffer
  readonly start: number
}

/** Where the cells of one column come from. */
type Source =
  | { readonly kind: 'own' }
  | { readonly kind: 'version'; readonly version: Version }
  | { readonly kind: 'cells'; readonly cells: readonly CellPlace[] }
  /** One cell, with the time of that version's. */
  | { readonly kind: 'value'; readonly value: Buffer; readonly like: Version }

function looksAtValues(resolver: ColumnResolver, { type }: ColumnSchema): boolean {
  return resolver === 'max' || resolver === 'min' || (resolver === 'union' && !isMultiCell(type))
}

/** Of frozen sets or maps, the oldest first. */
function united({ type }: ColumnSchema, values: readonly Buffer[]): Buffer {
  if (type.kind === 'map')
    return assembleMap((a, b) => compare(type.key, a, b))(values.flatMap((value) => splitCollection(value, 2)))
  const elementType = type.kind === 'set' ? type.element : type
  return assembleSet((a, b) => compare(elementType, a, b))(values.flatMap((value) => splitCollection(value, 1)))
}
