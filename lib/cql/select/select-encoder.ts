/**
 * Rows of storage become rows of a result: for each item of an output list the bytes of a [value], straight from the row's bytes into a writer.
 * Always: `partition` before its rows; the buffers of a partition and a row are looked at only during the call that is given them, but for the
 * partition's own, which must hold until its last row.
 */
import type { PartitionData, RowData } from '../../../storage/model/command.ts'
import { RowReader, readInt32 } from '../../../storage/model/row.ts'
import { assert } from '../../base/assert.ts'
import { ByteReader, ByteWriter } from '../../base/bytes.ts'
import { uuidBytes } from '../../base/uuid.ts'
import type { ColumnSchema, TableSchema } from '../../schema/table.ts'
import { decodeComponentTo } from '../../types/ordered.ts'
import { ContextSeal } from '../causal/context-blob.ts'
import type { Sibling } from '../causal/siblings.ts'
import { seekSpelling, spellsKeys } from '../terms/key-spelling.ts'
import { type CellPart, RowCells } from './select-cells.ts'

/** A column, or what is known of its cells. */
export interface OutputItem {
  readonly column: ColumnSchema
  /** 'vclock': what a reader of the row has seen; it is of no column, and the one given here is not looked at. */
  readonly part: CellPart | 'vclock'
}

const Source = { KEY: 0, CLUSTERING: 1, REGULAR: 2, STATIC: 3, REGULAR_PART: 4, STATIC_PART: 5, VCLOCK: 6 } as const

export class RowEncoder {
  readonly #items: readonly OutputItem[]
  readonly #sources: Uint8Array
  /** By item: position of a key column, slot of another. */
  readonly #slots: Int32Array
  readonly #keyColumnCount: number
  readonly #clustering: readonly ColumnSchema[]
  /** Clustering columns up to the last one that is asked for. */
  readonly #clusteringCount: number
  /** They are asked for once each, in their order: no need to decode them anywhere but into the output. */
  readonly #clusteringInOrder: boolean
  readonly #regulars: RowCells
  readonly #statics: RowCells

  #key: Buffer = Buffer.alloc(0)
  /** Where the components of the key lie in it. */
  readonly #keyStart: Int32Array
  readonly #keyEnd: Int32Array
  #nowSeconds = 0
  readonly #reader = new ByteReader(Buffer.alloc(0))
  readonly #decoded = new ByteWriter(64)
  readonly #decodedStart: Int32Array
  /** Rows may say how their clustering was written; null: they cannot, or nobody asks. */
  readonly #spelling: RowReader | null
  /** Of the contexts that are asked for; null: none is. */
  readonly #seal: ContextSeal | null

  constructor(table: TableSchema, items: readonly OutputItem[]) {
    this.#items = items
    this.#seal = items.some(({ part }) => part === 'vclock') ? new ContextSeal(uuidBytes(table.id)) : null
    this.#keyColumnCount = table.partitionKey.length
    this.#clustering = table.clustering
    this.#keyStart = new Int32Array(this.#keyColumnCount)
    this.#keyEnd = new Int32Array(this.#keyColumnCount)
    const regulars = columnsOf(items, 'regular')
    const statics = columnsOf(items, 'static')
    this.#regulars = new RowCells(regulars)
    this.#statics = new RowCells(statics)
    this.#sources = Uint8Array.from(items, sourceOf)
    this.#slots = Int32Array.from(items, ({ column }) => {
      if (column.kind === 'regular') return regulars.indexOf(column)
      return column.kind === 'static' ? statics.indexOf(column) : column.position
    })
    const positions = items
      .filter(({ column, part }) => column.kind === 'clustering' && part !== 'vclock')
      .map(({ column }) => column.position)
    this.#clusteringCount = Math.max(-1, ...positions) + 1
    this.#clusteringInOrder = positions.every((position, i) => position === i)
    this.#decodedStart = new Int32Array(this.#clusteringCount + 1)
    this.#spelling = positions.length > 0 && spellsKeys(table) ? new RowReader() : null
  }

  /** Begins a partition. Its key and static row must hold until its last row is written. */
  partition(partition: PartitionData, nowSeconds: number): void {
    this.#nowSeconds = nowSeconds
    const { key } = partition
    this.#key = key
    if (this.#keyColumnCount === 1) {
      this.#keyEnd[0] = key.length
    } else {
      let at = 0
      for (let i = 0; i < this.#keyColumnCount; i++) {
        const length = (key[at]! << 8) | key[at + 1]!
        this.#keyStart[i] = at + 2
        at += 2 + length
        this.#keyEnd[i] = at
        at += 1
      }
    }
    if (this.#statics.count === 0) return
    const { staticRow } = partition
    if (staticRow === null) this.#statics.clear()
    else this.#statics.scan(staticRow, 0, staticRow.length, nowSeconds)
  }

  /** Appends the items' [value]s. Null: the partition has but its static row. */
  row(row: RowData | null, out: ByteWriter): void {
    const reader = this.#reader
    let isSpelled = false
    if (row === null) this.#regulars.clear()
    else {
      this.#regulars.scan(row.rowBuffer, row.rowStart, row.rowEnd, this.#nowSeconds)
      reader.buffer = row.clusteringBuffer
      reader.position = row.clusteringStart
      reader.end = row.clusteringEnd
      const { rowBuffer, rowStart, rowEnd } = row
      isSpelled = this.#spelling !== null && this.#spell(this.#spelling.reset(rowBuffer, rowStart, rowEnd))
    }
    const inOrder = this.#clusteringInOrder && !isSpelled
    if (!inOrder && !isSpelled && row !== null) this.#decode(reader)
    const sources = this.#sources
    for (let i = 0; i < sources.length; i++) {
      const slot = this.#slots[i]!
      switch (sources[i]) {
        case Source.KEY:
          out.int32(this.#keyEnd[slot]! - this.#keyStart[slot]!)
          out.slice(this.#key, this.#keyStart[slot]!, this.#keyEnd[slot]!)
          break
        case Source.CLUSTERING:
          if (row === null) out.int32(-1)
          else if (inOrder) {
            const column = this.#clustering[slot]!
            decodeComponentTo(column.type, column.reversed, reader, out)
          } else {
            out.slice(this.#decoded.buffer, this.#decodedStart[slot]!, this.#decodedStart[slot + 1]!)
          }
          break
        case Source.REGULAR:
          this.#regulars.write(slot, out)
          break
        case Source.STATIC:
          this.#statics.write(slot, out)
          break
        case Source.VCLOCK:
          this.#writeVclock(row as Sibling, out)
          break
        default:
          this.#writePart(i, slot, out)
      }
    }
  }

  #writeVclock({ clustering, siblings }: Sibling, out: ByteWriter): void {
    const blob = this.#seal!.seal(this.#key, clustering, siblings.context)
    out.int32(blob.length)
    out.bytes(blob)
  }

  #writePart(item: number, slot: number, out: ByteWriter): void {
    const { part } = this.#items[item]!
    assert(part !== 'value' && part !== 'vclock')
    const cells = this.#sources[item] === Source.STATIC_PART ? this.#statics : this.#regulars
    cells.writePart(slot, part, out)
  }

  /** As #decode, of the values as they were written; false: the row does not say. */
  #spell(reader: RowReader): boolean {
    if (!seekSpelling(reader, this.#nowSeconds)) return false
    const decoded = this.#decoded
    decoded.reset()
    let at = reader.valueStart
    for (let i = 0; i < this.#clusteringCount; i++) {
      const end = at + 4 + Math.max(0, readInt32(reader.buffer, at))
      decoded.slice(reader.buffer, at, end)
      this.#decodedStart[i + 1] = decoded.length
      at = end
    }
    return true
  }

  #decode(reader: ByteReader): void {
    const decoded = this.#decoded
    decoded.reset()
    for (let i = 0; i < this.#clusteringCount; i++) {
      const column = this.#clustering[i]!
      decodeComponentTo(column.type, column.reversed, reader, decoded)
      this.#decodedStart[i + 1] = decoded.length
    }
  }
}

function columnsOf(items: readonly OutputItem[], kind: ColumnSchema['kind']): ColumnSchema[] {
  const ofKind = items.filter(({ column, part }) => column.kind === kind && part !== 'vclock')
  return [...new Set(ofKind.map(({ column }) => column))]
}

function sourceOf({ column, part }: OutputItem): number {
  if (part === 'vclock') return Source.VCLOCK
  switch (column.kind) {
    case 'partition_key':
      return Source.KEY
    case 'clustering':
      return Source.CLUSTERING
    case 'regular':
      return part === 'value' ? Source.REGULAR : Source.REGULAR_PART
    case 'static':
      return part === 'value' ? Source.STATIC : Source.STATIC_PART
  }
}
