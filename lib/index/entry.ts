/**
 * Entries of an index: rows of a table of its own, that no CQL name reaches.
 *
 * position   := the term (schema/index-term.ts)
 * clustering := 0x40 | position of the partition | clustering of the row (none in an index of partitions) | life
 * life       := 0x00, for what stays | expiry u32, 0x01
 *
 * An entry is a row of nothing but liveness. Its timestamp is the node's own (IndexClock), not the row's: whoever finds an entry that its row
 * does not bear out deletes it at its timestamp, and what is written later, with whatever timestamp, has an entry that lives. What expires has
 * an entry that expires with it or somewhat later, one for each of few such times, so that none ends before the last value it stands for.
 * Always: entries of one term ascend as their rows do.
 */
import { MutationWriter } from '../../storage/model/mutation.ts'
import { type RowReader, readInt32 } from '../../storage/model/row.ts'
import { assert } from '../base/assert.ts'

/** An entry as it was read. Buffers are copies. */
export interface IndexEntry {
  /** The term it is under. */
  readonly term: Buffer
  /** All of it: what entries sort by. */
  readonly bytes: Buffer
  readonly position: Buffer
  /** Empty in an index of partitions. */
  readonly clustering: Buffer
  readonly tsHigh: number
  readonly tsLow: number
}

const PREFIX = 0x40
const STAYS = 0
const EXPIRES = 1
const POSITION_HEAD_BYTES = 10
/** Seconds since 1970 that no u32 of an expiry reaches. */
const NEVER = 0xffffffff
const STEP_SECONDS_MIN = 64

/** Expiries are rounded up, the more the longer they are away: a value that is written again and again with a TTL has few entries. */
export function roundedExpiry(expiresAt: number, nowSeconds: number): number {
  let step = STEP_SECONDS_MIN
  while (step * 8 <= expiresAt - nowSeconds) step *= 2
  return Math.min(Math.ceil(expiresAt / step) * step, NEVER - 1)
}

/** The bound before all entries of partitions at or after a position (or what a position begins with). */
export function entryBound(position: Buffer): Buffer {
  return Buffer.concat([Buffer.of(PREFIX), position])
}

export const ENTRIES_START: Buffer = Buffer.of(PREFIX)
export const ENTRIES_END: Buffer = Buffer.of(PREFIX + 1)

const AFTER = Buffer.of(0xff)

/** The bound after all entries of a partition, or of a row of it. */
export function afterEntries(position: Buffer, clustering: Buffer | null): Buffer {
  return Buffer.concat(
    clustering === null ? [ENTRIES_START, position, AFTER] : [ENTRIES_START, position, clustering, AFTER],
  )
}

export function readEntry(term: Buffer, bytes: Buffer, row: Buffer, reader: RowReader): IndexEntry {
  reader.reset(row)
  assert(bytes[0] === PREFIX && reader.hasLiveness, 'an entry of an index')
  const copy = Buffer.from(bytes)
  const positionEnd = 1 + POSITION_HEAD_BYTES + copy.readUInt16BE(1 + 8)
  const end = copy.length - (copy[copy.length - 1] === EXPIRES ? 5 : 1)
  return {
    term,
    bytes: copy,
    position: copy.subarray(1, positionEnd),
    clustering: copy.subarray(positionEnd, end),
    tsHigh: reader.livenessTsHigh,
    tsLow: reader.livenessTsLow,
  }
}

/** Makes the mutations of entries; each is a copy. */
export class EntryWriter {
  readonly #mutation = new MutationWriter()

  /** `expiresAt` 0: it stays. */
  put(
    indexId: Buffer,
    term: Buffer,
    position: Buffer,
    clustering: Buffer | null,
    timestamp: number,
    expiresAt: number,
    nowSeconds: number,
  ): Buffer {
    this.#begin(indexId, term)
    const writer = this.#mutation
    const high = Math.floor(timestamp / 2 ** 32)
    const low = timestamp >>> 0
    const rounded = expiresAt === 0 ? 0 : roundedExpiry(expiresAt, nowSeconds)
    writer.beginRow(entryBytes(position, clustering, rounded))
    writer.row.liveness(high, low, rounded === 0 ? 0 : Math.max(rounded - nowSeconds, 1), rounded)
    writer.endRow()
    return Buffer.from(writer.finish())
  }

  /** Deletes an entry as it was read, and none that was written after it. */
  remove(indexId: Buffer, entry: IndexEntry, nowSeconds: number): Buffer {
    this.#begin(indexId, entry.term)
    const writer = this.#mutation
    writer.beginRow(entry.bytes)
    writer.row.deletion(entry.tsHigh, entry.tsLow, nowSeconds)
    writer.endRow()
    return Buffer.from(writer.finish())
  }

  #begin(indexId: Buffer, term: Buffer): void {
    const key = term.subarray(POSITION_HEAD_BYTES)
    this.#mutation.begin(indexId, readInt32(term, 0) ^ 0x80000000, readInt32(term, 4), key)
  }
}

function entryBytes(position: Buffer, clustering: Buffer | null, expiresAt: number): Buffer {
  const rowLength = clustering?.length ?? 0
  const bytes = Buffer.allocUnsafe(1 + position.length + rowLength + (expiresAt === 0 ? 1 : 5))
  bytes[0] = PREFIX
  bytes.set(position, 1)
  if (clustering !== null) bytes.set(clustering, 1 + position.length)
  const end = 1 + position.length + rowLength
  if (expiresAt === 0) bytes[end] = STAYS
  else {
    bytes.writeUInt32BE(expiresAt, end)
    bytes[end + 4] = EXPIRES
  }
  return bytes
}
