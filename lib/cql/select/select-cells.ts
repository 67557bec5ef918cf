/**
 * The live cells of one row, by the columns that are asked for: `scan` goes once through the row's bytes and notes where values lie, then each is
 * written as often as it is wanted. Nothing is allocated per row.
 * Source: storage/model/row.ts; how paths stand for elements: modify-operations.ts.
 */
import { COUNT_BYTES } from '../../../storage/model/counter.ts'
import { RowReader, readInt32 } from '../../../storage/model/row.ts'
import { ByteReader, type ByteWriter } from '../../base/bytes.ts'
import type { ColumnSchema } from '../../schema/table.ts'
import { isCounter, isMultiCell } from '../../types/names.ts'
import { decodeOrdered } from '../../types/ordered-value.ts'
import type { CqlType } from '../../types/type.ts'
import { afterSpelledKey, spelledKeyLength, spellsMapKeys } from '../terms/key-spelling.ts'

/** What of a column is wanted. */
export type CellPart = 'value' | 'writetime' | 'maxwritetime' | 'ttl'

const NONE = -1

/** How many cells a column has: one, those of a collection or user type, a counter's shards. */
const ONE = 0
const MANY = 1
const SHARDS = 2

export class RowCells {
  readonly #columns: readonly ColumnSchema[]
  /** Column id → slot; NONE for columns that nobody asks for. */
  readonly #slotById: Int32Array
  readonly #lastId: number
  readonly #complex: Uint8Array
  readonly #hasDropped: boolean
  readonly #droppedHigh: Int32Array
  readonly #droppedLow: Uint32Array
  /** By slot. Simple: the value; complex: start is that of the column's first live cell, end the number of live cells. */
  readonly #start: Int32Array
  readonly #end: Int32Array
  readonly #tsHigh: Int32Array
  readonly #tsLow: Uint32Array
  readonly #ttl: Float64Array
  readonly #expiresAt: Float64Array
  /** Of maps whose cells hold their keys' own bytes. */
  readonly #spells: Uint8Array
  readonly #reader = new RowReader()
  readonly #elements = new RowReader()
  readonly #path = new ByteReader(Buffer.alloc(0))
  #row: Buffer = Buffer.alloc(0)
  #rowStart = 0
  #rowEnd = 0
  #nowSeconds = 0

  /** Static or regular columns of one table, each once. Slots are their indexes. */
  constructor(columns: readonly ColumnSchema[]) {
    this.#columns = columns
    this.#lastId = columns.reduce((last, column) => Math.max(last, column.id), NONE)
    this.#slotById = new Int32Array(this.#lastId + 1).fill(NONE)
    columns.forEach((column, slot) => {
      this.#slotById[column.id] = slot
    })
    const count = columns.length
    this.#complex = Uint8Array.from(columns, ({ type }) => (isMultiCell(type) ? MANY : isCounter(type) ? SHARDS : ONE))
    this.#spells = Uint8Array.from(columns, ({ type }) => (spellsMapKeys(type) ? 1 : 0))
    this.#hasDropped = columns.some((column) => column.droppedAtMicros !== null)
    this.#droppedHigh = new Int32Array(count)
    this.#droppedLow = new Uint32Array(count)
    columns.forEach(({ droppedAtMicros }, slot) => {
      const micros = droppedAtMicros ?? -(2n ** 63n)
      this.#droppedHigh[slot] = Number(micros >> 32n)
      this.#droppedLow[slot] = Number(micros & 0xffffffffn)
    })
    this.#start = new Int32Array(count).fill(NONE)
    this.#end = new Int32Array(count)
    this.#tsHigh = new Int32Array(count)
    this.#tsLow = new Uint32Array(count)
    this.#ttl = new Float64Array(count)
    this.#expiresAt = new Float64Array(count)
  }

  get count(): number {
    return this.#columns.length
  }

  /** There is no row: all columns are null. */
  clear(): void {
    const starts = this.#start
    for (let slot = 0; slot < starts.length; slot++) starts[slot] = NONE
  }

  /** Notes the live cells of the row row[start, end). */
  scan(row: Buffer, start: number, end: number, nowSeconds: number): void {
    this.clear()
    const starts = this.#start
    if (starts.length === 0) return
    this.#row = row
    this.#rowStart = start
    this.#rowEnd = end
    this.#nowSeconds = nowSeconds
    const reader = this.#reader.reset(row, start, end)
    while (reader.next()) {
      const id = reader.columnId
      if (id > this.#lastId) return
      const slot = this.#slotById[id]!
      if (slot === NONE || !reader.isLive(nowSeconds)) continue
      if (this.#hasDropped && this.#isDropped(slot, reader)) continue
      if (this.#complex[slot] === ONE) {
        starts[slot] = reader.valueStart
        this.#end[slot] = reader.valueEnd
        this.#tsHigh[slot] = reader.tsHigh
        this.#tsLow[slot] = reader.tsLow
        this.#ttl[slot] = reader.ttl
        this.#expiresAt[slot] = reader.localDeletionTime
      } else if (starts[slot] === NONE) {
        starts[slot] = reader.cellStart
        this.#end[slot] = 1
      } else this.#end[slot]!++
    }
  }

  #isDropped(slot: number, reader: RowReader): boolean {
    const high = this.#droppedHigh[slot]!
    return reader.tsHigh < high || (reader.tsHigh === high && reader.tsLow <= this.#droppedLow[slot]!)
  }

  /** Appends the column's [value]. */
  write(slot: number, out: ByteWriter): void {
    const start = this.#start[slot]!
    if (start === NONE) {
      out.int32(-1)
      return
    }
    if (this.#complex[slot] !== ONE) {
      if (this.#complex[slot] === MANY) this.#writeComplex(slot, start, out)
      else this.#writeSum(slot, start, out)
      return
    }
    const end = this.#end[slot]!
    out.int32(end - start)
    out.slice(this.#row, start, end)
  }

  /** Appends a counter as a [value]: the sum of its shards, of 64 bits. */
  #writeSum(slot: number, start: number, out: ByteWriter): void {
    let high = 0
    let low = 0
    const cells = this.#elementsFrom(start)
    while (this.#nextElement(slot, cells)) {
      if (cells.valueEnd - cells.valueStart !== COUNT_BYTES) continue
      low += readInt32(cells.buffer, cells.valueStart + 4) >>> 0
      high = (high + readInt32(cells.buffer, cells.valueStart) + (low > 0xffffffff ? 1 : 0)) | 0
      low %= 4294967296
    }
    out.int32(COUNT_BYTES)
    out.int32(high)
    out.int32(low)
  }

  /** Appends a collection or user type, whole, as a [value]. */
  #writeComplex(slot: number, start: number, out: ByteWriter): void {
    const { type } = this.#columns[slot]!
    const lengthAt = out.reserve(4)
    if (type.kind === 'udt') this.#writeFields(slot, start, type.fieldNames.length, out)
    else {
      out.int32(this.#end[slot]!)
      const cells = this.#elementsFrom(start)
      const spells = this.#spells[slot] !== 0
      while (this.#nextElement(slot, cells)) {
        if (spells && type.kind === 'map') this.#writeSpelledEntry(type.key, cells, out)
        else if (type.kind === 'set') this.#writeElement(type.element, cells, out)
        else if (type.kind === 'map') this.#writePath(type.key, cells, out)
        if (type.kind === 'set' || spells) continue
        out.int32(cells.valueEnd - cells.valueStart)
        out.slice(cells.buffer, cells.valueStart, cells.valueEnd)
      }
    }
    out.putInt32(lengthAt, out.length - lengthAt - 4)
  }

  #writeFields(slot: number, start: number, fieldCount: number, out: ByteWriter): void {
    const cells = this.#elementsFrom(start)
    let field = 0
    while (this.#nextElement(slot, cells)) {
      const at = (cells.buffer[cells.pathStart]! << 8) | cells.buffer[cells.pathStart + 1]!
      for (; field < at; field++) out.int32(-1)
      out.int32(cells.valueEnd - cells.valueStart)
      out.slice(cells.buffer, cells.valueStart, cells.valueEnd)
      field++
    }
    for (; field < fieldCount; field++) out.int32(-1)
  }

  /** The cell of a set's element holds its bytes where the path would not give them back. */
  #writeElement(type: CqlType, cells: RowReader, out: ByteWriter): void {
    if (cells.valueEnd === cells.valueStart) {
      this.#writePath(type, cells, out)
      return
    }
    out.int32(cells.valueEnd - cells.valueStart)
    out.slice(cells.buffer, cells.valueStart, cells.valueEnd)
  }

  #writeSpelledEntry(type: CqlType, cells: RowReader, out: ByteWriter): void {
    const { buffer, valueStart, valueEnd } = cells
    const keyLength = spelledKeyLength(buffer, valueStart)
    const at = afterSpelledKey(buffer, valueStart)
    if (keyLength < 0) this.#writePath(type, cells, out)
    else {
      out.int32(keyLength)
      out.slice(buffer, at - keyLength, at)
    }
    out.int32(valueEnd - at)
    out.slice(buffer, at, valueEnd)
  }

  #writePath(type: CqlType, cells: RowReader, out: ByteWriter): void {
    const at = out.reserve(4)
    const path = this.#path
    path.buffer = cells.buffer
    path.position = cells.pathStart
    path.end = cells.pathEnd
    if (path.position < path.end) decodeOrdered(type, path, 0, out)
    out.putInt32(at, out.length - at - 4)
  }

  #elementsFrom(start: number): RowReader {
    const cells = this.#elements.reset(this.#row, this.#rowStart, this.#rowEnd)
    cells.cellEnd = start
    return cells
  }

  /** Goes to the next live cell of the column. */
  #nextElement(slot: number, cells: RowReader): boolean {
    const { id } = this.#columns[slot]!
    while (cells.next() && cells.columnId === id) {
      if (!cells.isLive(this.#nowSeconds)) continue
      if (this.#hasDropped && this.#isDropped(slot, cells)) continue
      return true
    }
    return false
  }

  /** Appends what writetime, maxwritetime or ttl of the column is, as a [value]; of a column of many cells a list with one for each. */
  writePart(slot: number, part: Exclude<CellPart, 'value'>, out: ByteWriter): void {
    const start = this.#start[slot]!
    if (start === NONE) out.int32(-1)
    else if (this.#complex[slot] === ONE)
      writeTime(part, this.#tsHigh[slot]!, this.#tsLow[slot]!, this.#ttl[slot]!, this.#remaining(slot), out)
    else if (this.#complex[slot] === SHARDS && part === 'ttl') out.int32(-1)
    else if (this.#complex[slot] === SHARDS) this.#writeNewest(slot, start, out)
    else if (part === 'maxwritetime') this.#writeNewest(slot, start, out)
    else this.#writeTimes(slot, start, part, out)
  }

  #remaining(slot: number): number {
    return this.#expiresAt[slot]! - this.#nowSeconds
  }

  #writeNewest(slot: number, start: number, out: ByteWriter): void {
    const cells = this.#elementsFrom(start)
    let high = -0x80000000
    let low = 0
    while (this.#nextElement(slot, cells)) {
      if (cells.tsHigh < high || (cells.tsHigh === high && cells.tsLow <= low)) continue
      high = cells.tsHigh
      low = cells.tsLow
    }
    out.int32(8)
    out.int32(high)
    out.int32(low)
  }

  /** A list with an element for each cell; of a user type, for each field. */
  #writeTimes(slot: number, start: number, part: 'writetime' | 'ttl', out: ByteWriter): void {
    const { type } = this.#columns[slot]!
    const isUserType = type.kind === 'udt'
    const lengthAt = out.reserve(4)
    out.int32(isUserType ? type.fieldNames.length : this.#end[slot]!)
    const cells = this.#elementsFrom(start)
    let field = 0
    while (this.#nextElement(slot, cells)) {
      if (isUserType) {
        const at = (cells.buffer[cells.pathStart]! << 8) | cells.buffer[cells.pathStart + 1]!
        for (; field < at; field++) out.int32(-1)
      }
      writeTime(part, cells.tsHigh, cells.tsLow, cells.ttl, cells.localDeletionTime - this.#nowSeconds, out)
      field++
    }
    if (isUserType) for (; field < type.fieldNames.length; field++) out.int32(-1)
    out.putInt32(lengthAt, out.length - lengthAt - 4)
  }
}

function writeTime(
  part: Exclude<CellPart, 'value'>,
  tsHigh: number,
  tsLow: number,
  ttl: number,
  remainingSeconds: number,
  out: ByteWriter,
): void {
  if (part !== 'ttl') {
    out.int32(8)
    out.int32(tsHigh)
    out.int32(tsLow)
  } else if (ttl === 0) out.int32(-1)
  else {
    out.int32(4)
    out.int32(remainingSeconds)
  }
}
