/**
 * What is to be written to a column of many cells, a collection or a user type: gathered in any order, written in that of the paths.
 * Always: paths and values are copied into one buffer that is used again and again, so that a cell is a few numbers.
 */
import { type CellBytes, compareRanges } from '../../../storage/model/row.ts'
import { ByteWriter } from '../../base/bytes.ts'

/** Who writes the cells. */
export interface PathCellSink {
  /** `before`: only what is older than what is written now. */
  complexDeletion(columnId: number, before: boolean): void
  pathCell(columnId: number, from: CellBytes): void
  pathTombstone(columnId: number, from: CellBytes): void
}

/** A cell that lives. */
export interface PathCell {
  readonly path: Buffer
  readonly value: Buffer
}

const BUFFER_BYTES = 512
/** A buffer that grew beyond is given up, so that one large collection does not hold its memory for ever. */
const BUFFER_KEPT_BYTES_MAX = 64 * 1024

/** So few cells are put into their order one by one: a sort costs more to begin with. */
const INSERTED_MAX = 16

/** In place of a value's end: the path is removed. */
const REMOVED = -1

export class PathCells implements CellBytes {
  /** All that was there before goes: at this write's time, or (to be followed by cells) just before it. */
  removal: 'none' | 'all' | 'older' = 'none'
  /** Of the cell that is handed to the sink. */
  pathStart = 0
  pathEnd = 0
  valueStart = 0
  valueEnd = 0
  #out = new ByteWriter(BUFFER_BYTES)
  /** Of each cell: where its path begins, where that ends and its value begins, and where that ends. */
  #starts: number[] = []
  #middles: number[] = []
  #ends: number[] = []
  #count = 0
  #ascends = true
  #order: number[] = []
  readonly #compare = (a: number, b: number): number => this.#comparePaths(a, b) || this.#compareValues(a, b)

  get buffer(): Buffer {
    return this.#out.buffer
  }

  reset(): void {
    if (this.#out.buffer.length > BUFFER_KEPT_BYTES_MAX) {
      this.#out = new ByteWriter(BUFFER_BYTES)
      this.#starts = []
      this.#middles = []
      this.#ends = []
      this.#order = []
    }
    this.#out.reset()
    this.#count = 0
    this.#ascends = true
    this.removal = 'none'
  }

  /** Opens a cell: its path is to be appended, then comes `put` or `remove`. */
  path(): ByteWriter {
    this.#starts[this.#count] = this.#out.length
    return this.#out
  }

  /** Closes the cell with the value source[start, end). */
  put(source: Buffer, start: number, end: number): void {
    const middle = this.#out.length
    this.#out.slice(source, start, end)
    this.#close(middle, this.#out.length)
  }

  /** Closes the cell as one that is removed. */
  remove(): void {
    this.#close(this.#out.length, REMOVED)
  }

  #close(middle: number, end: number): void {
    const index = this.#count++
    this.#middles[index] = middle
    this.#ends[index] = end
    if (index > 0 && this.#ascends) this.#ascends = this.#comparePaths(index - 1, index) < 0
  }

  /** The live cells as they will be when what was gathered is written over `before`; both ascend by path. */
  over(before: readonly PathCell[]): readonly PathCell[] {
    if (this.#count === 0 && this.removal === 'none') return before
    const order = this.#sorted()
    const merged: PathCell[] = []
    let next = 0
    const old = this.removal === 'none' ? before : []
    for (let i = 0; i < order.length; i++) {
      const index = order[i]!
      if (this.#isRepeated(order, i)) continue
      const path = Buffer.from(this.buffer.subarray(this.#starts[index]!, this.#middles[index]!))
      while (next < old.length && old[next]!.path.compare(path) < 0) merged.push(old[next++]!)
      if (next < old.length && old[next]!.path.equals(path)) next += 1
      const end = this.#ends[index]!
      if (end !== REMOVED) merged.push({ path, value: Buffer.from(this.buffer.subarray(this.#middles[index]!, end)) })
    }
    return [...merged, ...old.slice(next)]
  }

  write(sink: PathCellSink, columnId: number): void {
    if (this.removal !== 'none') sink.complexDeletion(columnId, this.removal === 'older')
    if (this.#ascends) for (let i = 0; i < this.#count; i++) this.#writeCell(sink, columnId, i)
    else this.#writeSorted(sink, columnId)
  }

  #writeSorted(sink: PathCellSink, columnId: number): void {
    const order = this.#sorted()
    for (let i = 0; i < order.length; i++) if (!this.#isRepeated(order, i)) this.#writeCell(sink, columnId, order[i]!)
  }

  #sorted(): number[] {
    const order = this.#order
    order.length = 0
    if (this.#count <= INSERTED_MAX) for (let i = 0; i < this.#count; i++) this.#insert(order, i)
    else {
      for (let i = 0; i < this.#count; i++) order.push(i)
      order.sort(this.#compare)
    }
    return order
  }

  /** Of several for one path, the last is the one that would win by its value. */
  #isRepeated(order: readonly number[], i: number): boolean {
    return i + 1 < order.length && this.#comparePaths(order[i]!, order[i + 1]!) === 0
  }

  /** Puts a cell behind those that come before it. */
  #insert(order: number[], index: number): void {
    let place = order.length
    order.push(index)
    for (; place > 0 && this.#compare(order[place - 1]!, index) > 0; place--) order[place] = order[place - 1]!
    order[place] = index
  }

  #writeCell(sink: PathCellSink, columnId: number, index: number): void {
    const end = this.#ends[index]!
    this.pathStart = this.#starts[index]!
    this.pathEnd = this.#middles[index]!
    this.valueStart = this.pathEnd
    this.valueEnd = end
    if (end === REMOVED) sink.pathTombstone(columnId, this)
    else sink.pathCell(columnId, this)
  }

  #comparePaths(a: number, b: number): number {
    const { buffer } = this.#out
    return compareRanges(buffer, this.#starts[a]!, this.#middles[a]!, buffer, this.#starts[b]!, this.#middles[b]!)
  }

  /** Of two values at one time: a removal wins, then the greater bytes. */
  #compareValues(a: number, b: number): number {
    const aEnd = this.#ends[a]!
    const bEnd = this.#ends[b]!
    if (aEnd === REMOVED || bEnd === REMOVED) return (aEnd === REMOVED ? 1 : 0) - (bEnd === REMOVED ? 1 : 0)
    const { buffer } = this.#out
    return compareRanges(buffer, this.#middles[a]!, aEnd, buffer, this.#middles[b]!, bEnd)
  }
}
