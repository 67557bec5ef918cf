/**
 * Paging states: where a result goes on, as bytes that mean nothing to clients. They hold for every connection and node, and after restarts.
 *
 * state := version u8 | flags u8 | remaining u32 | rows given of the partition u32
 *          | position: varuint length, bytes | clustering: varuint length, bytes | dot: varuint length, bytes | check u32 (of all before)
 *          flags: 1 the partition is done, 2 there is a clustering, 4 there is a dot
 * Counts are 0xffffffff for no limit.
 */
import { ByteReader, BytesError, ByteWriter } from '../../base/bytes.ts'
import { RequestError } from '../../base/errors.ts'
import { murmur3Token } from '../../base/hash/murmur3.ts'

export interface PagingState {
  /** Of the row that was given last. */
  readonly position: Buffer
  /** Null: it was the partition's static row alone. */
  readonly clustering: Buffer | null
  /** Siblings follow in that row: those with greater dots than this. Null: none do. */
  readonly dot: Buffer | null
  readonly partitionDone: boolean
  /** Rows of this partition given so far. */
  readonly rowsGiven: number
  /** Rows that LIMIT still allows; Infinity: no limit. */
  readonly remaining: number
}

const VERSION = 1
const PARTITION_DONE = 1
const HAS_CLUSTERING = 2
const HAS_DOT = 4
const NO_LIMIT = 0xffffffff

export function encodePagingState(state: PagingState): Buffer {
  const { position, clustering, dot, partitionDone, rowsGiven, remaining } = state
  const out = new ByteWriter(32 + position.length + (clustering?.length ?? 0))
  out.uint8(VERSION)
  out.uint8(
    (partitionDone ? PARTITION_DONE : 0) | (clustering === null ? 0 : HAS_CLUSTERING) | (dot === null ? 0 : HAS_DOT),
  )
  out.int32(Number.isFinite(remaining) ? remaining : NO_LIMIT)
  out.int32(Math.min(rowsGiven, NO_LIMIT - 1))
  out.varuint(position.length)
  out.bytes(position)
  if (clustering !== null) {
    out.varuint(clustering.length)
    out.bytes(clustering)
  }
  if (dot !== null) {
    out.varuint(dot.length)
    out.bytes(dot)
  }
  out.int32(check(out.view()))
  return out.copy()
}

/** Throws PROTOCOL_ERROR on anything that was not made here. */
export function decodePagingState(bytes: Buffer): PagingState {
  try {
    const reader = new ByteReader(bytes)
    if (reader.uint8() !== VERSION) throw broken()
    const flags = reader.uint8()
    const remaining = reader.uint32()
    const rowsGiven = reader.uint32()
    const position = Buffer.from(reader.view(reader.varuint()))
    const clustering = (flags & HAS_CLUSTERING) !== 0 ? Buffer.from(reader.view(reader.varuint())) : null
    const dot = (flags & HAS_DOT) !== 0 ? Buffer.from(reader.view(reader.varuint())) : null
    if (reader.int32() !== check(bytes.subarray(0, reader.position - 4)) || reader.remaining() > 0) throw broken()
    return {
      position,
      clustering,
      dot,
      partitionDone: (flags & PARTITION_DONE) !== 0,
      rowsGiven,
      remaining: remaining === NO_LIMIT ? Number.POSITIVE_INFINITY : remaining,
    }
  } catch (error) {
    if (error instanceof BytesError) throw broken()
    throw error
  }
}

export function isPagingState(bytes: Buffer): boolean {
  try {
    decodePagingState(bytes)
    return true
  } catch (error) {
    if (error instanceof RequestError) return false
    throw error
  }
}

function check(bytes: Buffer): number {
  const halves = new Int32Array(2)
  murmur3Token(bytes, 0, bytes.length, halves)
  return halves[1]!
}

function broken(): RequestError {
  return new RequestError('PROTOCOL_ERROR', 'Invalid value for the paging state')
}
