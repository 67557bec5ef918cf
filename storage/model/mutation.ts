/**
 * A mutation's bytes: the changes to one partition of one table, serialised once by the coordinator that received them.
 *
 * mutation := table id 16 | position (command.ts) | entry*
 * entry    := kind u8 0 partition deletion | timestamp 8 | localDeletionTime u32
 *           | kind u8 1 static row         | length u32, row
 *           | kind u8 2 range tombstone    | start: varuint length, bytes | end: likewise | timestamp 8 | localDeletionTime u32
 *           | kind u8 3 row                | clustering: varuint length, bytes | length u32, row
 *           | kind u8 4 causal write       | clustering: varuint length, bytes | flags u8 | [context: varuint length, bytes]
 *                                          | [version: length u32, row] | [sets: length u32, row]
 * A causal write is a request to a leader, who makes a row of it (causal/delta.ts): it is never stored. Its flags say which parts it has: 1, 2, 4.
 * Entries may come in any order and name a clustering twice: each is merged with what is there. A mutation ends where its bytes end.
 * See docs/formats.md.
 */
import { assert } from '../../lib/base/assert.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import type { CausalWrite } from './causal/delta.ts'
import { compareRanges, readInt32 } from './row.ts'
import { RowWriter } from './row-writer.ts'

/** Also the order of a partition's entries in memtable and SSTable keys; CAUSAL_WRITE is in none. */
export const EntryKind = { PARTITION_DELETION: 0, STATIC_ROW: 1, RANGE_TOMBSTONE: 2, ROW: 3, CAUSAL_WRITE: 4 } as const

/** Flags of a causal write: which parts it has. */
export const CausalPart = { CONTEXT: 1, VERSION: 2, SETS: 4 } as const

export const TABLE_ID_BYTES = 16
/** Token and key length, before the key. */
export const POSITION_HEAD_BYTES = 10
const PARTITION_KEY_BYTES_MAX = 65535

/** The id of the table that a mutation is of, as one character a byte: a key for maps. */
export function tableKeyOf(mutation: Buffer): string {
  return mutation.toString('latin1', 0, TABLE_ID_BYTES)
}

/** Writes one mutation at a time; it is reused, so that a write of a row allocates nothing. */
export class MutationWriter {
  readonly #out: ByteWriter
  /** Writes what is between beginRow (or beginStaticRow) and endRow. */
  readonly row: RowWriter
  #rowLengthAt = -1

  constructor() {
    this.#out = new ByteWriter(512)
    this.row = new RowWriter(this.#out)
  }

  /** Starts the mutation of a partition; the token as two signed halves. What finish() gave before is overwritten. */
  begin(tableId: Uint8Array, tokenHigh: number, tokenLow: number, key: Uint8Array): void {
    assert(tableId.length === TABLE_ID_BYTES && key.length <= PARTITION_KEY_BYTES_MAX)
    const out = this.#out
    out.reset()
    this.#rowLengthAt = -1
    out.bytes(tableId)
    out.int32(tokenHigh ^ 0x80000000)
    out.int32(tokenLow)
    out.uint16(key.length)
    out.bytes(key)
  }

  partitionDeletion(tsHigh: number, tsLow: number, localDeletionTime: number): void {
    assert(this.#rowLengthAt < 0, 'the row is still open')
    this.#out.uint8(EntryKind.PARTITION_DELETION)
    this.#deletion(tsHigh, tsLow, localDeletionTime)
  }

  /** Deletes the rows in [start, end); an empty interval is left out. */
  rangeTombstone(start: Uint8Array, end: Uint8Array, tsHigh: number, tsLow: number, localDeletionTime: number): void {
    assert(this.#rowLengthAt < 0, 'the row is still open')
    if (compareRanges(start, 0, start.length, end, 0, end.length) >= 0) return
    const out = this.#out
    out.uint8(EntryKind.RANGE_TOMBSTONE)
    out.varuint(start.length)
    out.bytes(start)
    out.varuint(end.length)
    out.bytes(end)
    this.#deletion(tsHigh, tsLow, localDeletionTime)
  }

  /** Opens a row: what it holds is written by `row`, then endRow closes it. */
  beginRow(clustering: Uint8Array): void {
    const out = this.#out
    out.uint8(EntryKind.ROW)
    out.varuint(clustering.length)
    out.bytes(clustering)
    this.#openRow()
  }

  beginStaticRow(): void {
    this.#out.uint8(EntryKind.STATIC_ROW)
    this.#openRow()
  }

  endRow(): void {
    assert(this.#rowLengthAt >= 0, 'no row is open')
    this.row.end()
    this.#out.putInt32(this.#rowLengthAt, this.#out.length - this.#rowLengthAt - 4)
    this.#rowLengthAt = -1
  }

  /** A request to the leader of a row of a vector-clock table. */
  causalWrite(clustering: Uint8Array, write: CausalWrite): void {
    assert(this.#rowLengthAt < 0, 'the row is still open')
    const out = this.#out
    out.uint8(EntryKind.CAUSAL_WRITE)
    out.varuint(clustering.length)
    out.bytes(clustering)
    this.#causalParts(write)
  }

  /** A mutation that is nothing but a request to the leader of the row on which the reader of another one stands. */
  causalWriteOf({ buffer, tableStart, positionEnd, boundEnd }: MutationReader, write: CausalWrite): void {
    const out = this.#out
    out.reset()
    this.#rowLengthAt = -1
    out.slice(buffer, tableStart, boundEnd)
    out.buffer[positionEnd - tableStart] = EntryKind.CAUSAL_WRITE
    this.#causalParts(write)
  }

  #causalParts({ context, version, sets }: CausalWrite): void {
    const out = this.#out
    const { CONTEXT, VERSION, SETS } = CausalPart
    out.uint8((context === null ? 0 : CONTEXT) | (version === null ? 0 : VERSION) | (sets === null ? 0 : SETS))
    if (context !== null) {
      out.varuint(context.length)
      out.bytes(context)
    }
    if (version !== null) this.#causalRow(version)
    if (sets !== null) this.#causalRow(sets)
  }

  #causalRow(row: Uint8Array): void {
    this.#out.int32(row.length)
    this.#out.bytes(row)
  }

  /** Copies an entry that is no row: a deletion. */
  copyEntry({ kind, buffer, boundStart, boundEnd, rangeEndStart, rangeEndEnd, valueStart }: MutationReader): void {
    const high = readInt32(buffer, valueStart)
    const low = readInt32(buffer, valueStart + 4)
    const time = readInt32(buffer, valueStart + 8)
    if (kind === EntryKind.PARTITION_DELETION) this.partitionDeletion(high, low, time)
    else {
      const start = buffer.subarray(boundStart, boundEnd)
      this.rangeTombstone(start, buffer.subarray(rangeEndStart, rangeEndEnd), high, low, time)
    }
  }

  /** The mutation, a view of this writer's memory: valid until the next begin(). Who keeps it longer copies it. */
  finish(): Buffer {
    assert(this.#rowLengthAt < 0, 'the row is still open')
    return this.#out.view()
  }

  #openRow(): void {
    assert(this.#rowLengthAt < 0, 'the row before is still open')
    this.#rowLengthAt = this.#out.reserve(4)
    this.row.begin()
  }

  #deletion(tsHigh: number, tsLow: number, localDeletionTime: number): void {
    this.#out.int32(tsHigh)
    this.#out.int32(tsLow)
    this.#out.int32(localDeletionTime)
  }
}

/** A cursor over one mutation: `reset`, then `next` until it is false. It trusts the bytes: validation.ts looked at them first. */
export class MutationReader {
  buffer: Buffer = Buffer.alloc(0)
  /** The table's id is buffer[tableStart, tableStart + 16), the position buffer[positionStart, positionEnd). */
  tableStart = 0
  positionStart = 0
  positionEnd = 0
  end = 0

  kind: number = EntryKind.ROW
  /** The row's clustering or the range's start; empty for the other kinds. */
  boundStart = 0
  boundEnd = 0
  /** The range's end. */
  rangeEndStart = 0
  rangeEndEnd = 0
  /** Bytes of the row, or of the deletion (timestamp 8, localDeletionTime 4). */
  valueStart = 0
  valueEnd = 0

  reset(mutation: Buffer, start = 0, end = mutation.length): this {
    this.buffer = mutation
    this.tableStart = start
    this.positionStart = start + TABLE_ID_BYTES
    const keyLengthAt = this.positionStart + 8
    this.positionEnd =
      this.positionStart + POSITION_HEAD_BYTES + ((mutation[keyLengthAt]! << 8) | mutation[keyLengthAt + 1]!)
    this.valueEnd = this.positionEnd
    this.end = end
    return this
  }

  next(): boolean {
    let at = this.valueEnd
    if (at >= this.end) return false
    const b = this.buffer
    const kind = b[at++]!
    this.kind = kind
    this.boundStart = at
    this.boundEnd = at
    if (kind >= EntryKind.RANGE_TOMBSTONE) {
      let length = this.#varuint(at)
      this.boundStart = this.#after
      this.boundEnd = this.#after + length
      at = this.boundEnd
      if (kind === EntryKind.RANGE_TOMBSTONE) {
        length = this.#varuint(at)
        this.rangeEndStart = this.#after
        this.rangeEndEnd = this.#after + length
        at = this.rangeEndEnd
      }
    }
    if (kind === EntryKind.ROW || kind === EntryKind.STATIC_ROW) {
      this.valueStart = at + 4
      this.valueEnd = at + 4 + readInt32(b, at)
    } else {
      this.valueStart = at
      this.valueEnd = kind === EntryKind.CAUSAL_WRITE ? this.#causalEnd(at) : at + 12
    }
    return true
  }

  #causalEnd(start: number): number {
    const parts = this.buffer[start]!
    let at = start + 1
    if ((parts & CausalPart.CONTEXT) !== 0) {
      const length = this.#varuint(at)
      at = this.#after + length
    }
    if ((parts & CausalPart.VERSION) !== 0) at += 4 + readInt32(this.buffer, at)
    if ((parts & CausalPart.SETS) !== 0) at += 4 + readInt32(this.buffer, at)
    return at
  }

  /** The entry's parts, as views, if its kind is CAUSAL_WRITE. */
  causalWrite(): CausalWrite {
    assert(this.kind === EntryKind.CAUSAL_WRITE)
    const b = this.buffer
    const parts = b[this.valueStart]!
    let at = this.valueStart + 1
    let context: Buffer | null = null
    if ((parts & CausalPart.CONTEXT) !== 0) {
      const length = this.#varuint(at)
      at = this.#after + length
      context = b.subarray(this.#after, at)
    }
    let version: Buffer | null = null
    if ((parts & CausalPart.VERSION) !== 0) {
      const start = at + 4
      at = start + readInt32(b, at)
      version = b.subarray(start, at)
    }
    let sets: Buffer | null = null
    if ((parts & CausalPart.SETS) !== 0) sets = b.subarray(at + 4, at + 4 + readInt32(b, at))
    return { context, version, sets }
  }

  #after = 0
  #varuint(at: number): number {
    const b = this.buffer
    let byte = b[at++]!
    let result = byte & 0x7f
    let shift = 7
    while (byte >= 0x80) {
      byte = b[at++]!
      result |= (byte & 0x7f) << shift
      shift += 7
    }
    this.#after = at
    return result >>> 0
  }
}
