/**
 * What a statement does to one column: a value that replaces the one before, or operations on the cells of a collection or user type.
 * Source: CQL 3.4.7 "INSERT", "UPDATE", "DELETE", "Collections"; rules are those of Cassandra 5.0.
 * Paths: a set's element and a map's key in their sorting encoding; a list's timeuuid likewise; a user type's field as its index, u16.
 */

import { readInt32 } from '../../../storage/model/row.ts'
import { ByteReader } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { stampTail, timeuuidOf } from '../../base/uuid.ts'
import type { ColumnSchema } from '../../schema/table.ts'
import { splitCollection } from '../../types/collection-parts.ts'
import { NATIVE } from '../../types/names.ts'
import { encodePath, keepsBytes } from '../../types/ordered.ts'
import type { CqlType, UserType } from '../../types/type.ts'
import { type BoundValue, type Environment, type QueryOptions, UNSET } from '../statement.ts'
import { hasSpellings, withKeySpelling } from '../terms/key-spelling.ts'
import type { Value } from '../terms/terms.ts'
import type { ExistingCell, ExistingRow } from './modify-read.ts'
import type { MutationSink } from './modify-sink.ts'
import type { PathCells } from './path-cells.ts'

/** One column's part of a row. Writes come in ascending order of column id. */
export interface ColumnWrite {
  readonly column: ColumnSchema
  /** It looks at the list as it is: the row has to be read first. */
  readonly needsRead: boolean
  write(sink: MutationSink, options: QueryOptions, environment: Environment, row: ExistingRow | null): void
}

/** A column of one cell: set, or removed where the value is null. */
export class CellWrite implements ColumnWrite {
  readonly column: ColumnSchema
  readonly needsRead = false
  readonly #id: number
  readonly #value: Value

  constructor(column: ColumnSchema, value: Value) {
    this.column = column
    this.#id = column.id
    this.#value = value
  }

  write(sink: MutationSink, options: QueryOptions, environment: Environment): void {
    const value = this.#value.bind(options, environment)
    if (value === UNSET) return
    if (value === null) sink.tombstone(this.#id)
    else sink.cell(this.#id, value)
  }
}

/** Of a collection: before its elements, and before each of them. */
const COUNT_BYTES = 4
const LENGTH_BYTES = 4

/** One operation on a column of many cells. */
export interface PathOperation {
  readonly needsRead: boolean
  apply(cells: PathCells, options: QueryOptions, environment: Environment, existing: readonly ExistingCell[]): void
}

/** A column of many cells: all operations that the statement has for it. */
export class PathWrite implements ColumnWrite {
  readonly column: ColumnSchema
  readonly needsRead: boolean
  readonly #operations: readonly PathOperation[]

  constructor(column: ColumnSchema, operations: readonly PathOperation[]) {
    this.column = column
    this.needsRead = operations.some((operation) => operation.needsRead)
    this.#operations = operations
  }

  /** Each operation sees what those before it did. */
  write(sink: MutationSink, options: QueryOptions, environment: Environment, row: ExistingRow | null): void {
    const cells = sink.pathCells
    cells.reset()
    const existing = row === null ? NO_CELLS : row.cells(this.column)
    for (const operation of this.#operations)
      operation.apply(cells, options, environment, operation.needsRead ? cells.over(existing) : NO_CELLS)
    cells.write(sink, this.column.id)
  }
}

const NO_CELLS: readonly ExistingCell[] = []

/** Opens the cell whose path the element gives. */
function openCell(cells: PathCells, type: CqlType, element: Buffer): void {
  encodePath(type, element, 0, element.length, cells.path())
}

function putWhole(cells: PathCells, value: Buffer): void {
  cells.put(value, 0, value.length)
}

/** c = value, and with `keep` c = c + value: sets and maps. */
export class PutElements implements PathOperation {
  readonly needsRead = false
  readonly #keyType: CqlType
  readonly #isMap: boolean
  readonly #value: Value
  readonly #keep: boolean
  /** The cell of an element holds its own bytes, or those of its key, where its path does not give them back. */
  readonly #spells: boolean

  constructor(keyType: CqlType, isMap: boolean, value: Value, keep: boolean) {
    this.#keyType = keyType
    this.#spells = hasSpellings(keyType)
    this.#isMap = isMap
    this.#value = value
    this.#keep = keep
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment): void {
    const value = this.#value.bind(options, environment)
    if (value === UNSET) return
    if (!this.#keep) cells.removal = 'older'
    if (value === null || value.length === 0) return
    if (this.#spells) this.#putSpelled(cells, value)
    else this.#putPlain(cells, value)
  }

  #putPlain(cells: PathCells, collection: Buffer): void {
    let at = COUNT_BYTES
    for (let left = readInt32(collection, 0); left > 0; left--) {
      const start = at + LENGTH_BYTES
      at = start + readInt32(collection, at)
      encodePath(this.#keyType, collection, start, at, cells.path())
      if (this.#isMap) {
        const valueStart = at + LENGTH_BYTES
        at = valueStart + readInt32(collection, at)
        cells.put(collection, valueStart, at)
      } else cells.put(collection, at, at)
    }
  }

  #putSpelled(cells: PathCells, collection: Buffer): void {
    const step = this.#isMap ? 2 : 1
    const elements = splitCollection(collection, step)
    for (let i = 0; i < elements.length; i += step) {
      const element = elements[i]!
      openCell(cells, this.#keyType, element)
      if (this.#isMap) putWhole(cells, withKeySpelling(this.#keyType, element, elements[i + 1]!))
      else if (keepsBytes(this.#keyType, element)) cells.put(element, 0, 0)
      else putWhole(cells, element)
    }
  }
}

/** c = c - value: elements of a set, or keys of a map. */
export class RemoveElements implements PathOperation {
  readonly needsRead = false
  readonly #keyType: CqlType
  readonly #value: Value

  constructor(keyType: CqlType, value: Value) {
    this.#keyType = keyType
    this.#value = value
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment): void {
    const value = this.#value.bind(options, environment)
    if (value === UNSET || value === null) return
    for (const element of splitCollection(value, 1)) {
      openCell(cells, this.#keyType, element)
      cells.remove()
    }
  }
}

/** c[key] = value of a map; DELETE c[key] of a map or set. */
export class PutElement implements PathOperation {
  readonly needsRead = false
  readonly #keyType: CqlType
  readonly #what: 'map key' | 'set element'
  readonly #key: Value
  /** Null: the element is removed. */
  readonly #value: Value | null

  /** `what`: how errors call the key. */
  constructor(keyType: CqlType, what: 'map key' | 'set element', key: Value, value: Value | null) {
    this.#keyType = keyType
    this.#what = what
    this.#key = key
    this.#value = value
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment): void {
    const key = this.#key.bind(options, environment)
    const value = this.#value === null ? null : this.#value.bind(options, environment)
    if (key === null) throw invalid(`Invalid null ${this.#what}`)
    if (key === UNSET) {
      if (this.#what === 'set element') return
      throw invalid(`Invalid unset ${this.#what}`)
    }
    if (value === UNSET) return
    openCell(cells, this.#keyType, key)
    if (value === null) cells.remove()
    else putWhole(cells, hasSpellings(this.#keyType) ? withKeySpelling(this.#keyType, key, value) : value)
  }
}

/** DELETE c. */
export class RemoveAll implements PathOperation {
  readonly needsRead = false

  apply(cells: PathCells): void {
    cells.removal = 'all'
  }
}

/** Prepended elements count time backwards from here, 2010-01-01, so that they sort before all that was appended. */
const PREPEND_EPOCH_MICROS = 1262304000000000

/** A timeuuid of that time, as 16 bytes, with random clock sequence and node. */
function timeUuid(micros: number, environment: Environment): Buffer {
  return timeuuidOf(BigInt(micros) * 10n, stampTail(environment.randomBytes(Buffer.allocUnsafe(8))))
}

/** A list's value replaced, or elements added at its end or its beginning. */
export class PutList implements PathOperation {
  readonly needsRead = false
  readonly #value: Value
  readonly #where: 'replace' | 'append' | 'prepend'

  constructor(value: Value, where: 'replace' | 'append' | 'prepend') {
    this.#value = value
    this.#where = where
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment): void {
    const value = this.#value.bind(options, environment)
    if (value === UNSET) return
    if (this.#where === 'replace') cells.removal = 'older'
    if (value === null) return
    const elements = splitCollection(value, 1)
    if (this.#where === 'prepend') elements.reverse()
    for (const element of elements) {
      const now = environment.timestampMicros()
      const micros = this.#where === 'prepend' ? PREPEND_EPOCH_MICROS - (now - PREPEND_EPOCH_MICROS) : now
      openCell(cells, NATIVE.timeuuid, timeUuid(micros, environment))
      putWhole(cells, element)
    }
  }
}

/** l[index] = value; DELETE l[index] where there is no value. */
export class PutListElement implements PathOperation {
  readonly needsRead = true
  readonly #index: Value
  readonly #value: Value | null

  constructor(index: Value, value: Value | null) {
    this.#index = index
    this.#value = value
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment, existing: readonly ExistingCell[]): void {
    const index = this.#index.bind(options, environment)
    const value: BoundValue = this.#value === null ? null : this.#value.bind(options, environment)
    if (index === null) throw invalid('Invalid null value for list index')
    if (index === UNSET) {
      if (this.#value === null) return
      throw invalid('Invalid unset value for list index')
    }
    const size = existing.length
    if (size === 0)
      throw invalid(
        this.#value === null
          ? 'Attempted to delete an element from a list which is null'
          : 'Attempted to set an element on a list which is null',
      )
    const at = index.length === 4 ? index.readInt32BE(0) : 0
    if (at < 0 || at >= size) throw invalid(`List index ${at} out of bound, list has size ${size}`)
    if (value === UNSET) return
    cells.path().bytes(existing[at]!.path)
    if (value === null) cells.remove()
    else putWhole(cells, value)
  }
}

/** l = l - value: every element that is equal to one of these. */
export class RemoveListElements implements PathOperation {
  readonly needsRead = true
  readonly #value: Value

  constructor(value: Value) {
    this.#value = value
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment, existing: readonly ExistingCell[]): void {
    const value = this.#value.bind(options, environment)
    if (value === UNSET || value === null) return
    const unwanted = splitCollection(value, 1)
    for (const cell of existing) {
      if (!unwanted.some((element) => element.equals(cell.value))) continue
      cells.path().bytes(cell.path)
      cells.remove()
    }
  }
}

/** A user type that is not frozen: all fields replaced. */
export class PutFields implements PathOperation {
  readonly needsRead = false
  readonly #type: UserType
  readonly #value: Value

  constructor(type: UserType, value: Value) {
    this.#type = type
    this.#value = value
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment): void {
    const value = this.#value.bind(options, environment)
    if (value === UNSET) return
    cells.removal = 'older'
    if (value === null) return
    const reader = new ByteReader(value)
    for (let i = 0; i < this.#type.fieldNames.length && reader.remaining() > 0; i++) {
      const length = reader.int32()
      if (length < 0) continue
      cells.path().uint16(i)
      cells.put(value, reader.position, reader.position + length)
      reader.skip(length)
    }
  }
}

/** c.field = value; DELETE c.field where there is no value. */
export class PutField implements PathOperation {
  readonly needsRead = false
  readonly #index: number
  readonly #value: Value | null

  constructor(index: number, value: Value | null) {
    this.#index = index
    this.#value = value
  }

  apply(cells: PathCells, options: QueryOptions, environment: Environment): void {
    const value = this.#value === null ? null : this.#value.bind(options, environment)
    if (value === UNSET) return
    cells.path().uint16(this.#index)
    if (value === null) cells.remove()
    else putWhole(cells, value)
  }
}
