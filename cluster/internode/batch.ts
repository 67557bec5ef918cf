/**
 * What a link says in one turn, gathered in one piece of memory: segments one after the other, handed to the socket in one write.
 * Memory is taken in slabs of which a socket may still hold a part: what was given away is never written again. A link that says little takes small slabs.
 */
import type { Payload } from './messenger.ts'
import {
  finishSegment,
  MESSAGE_HEADER_BYTES,
  type MessageHeader,
  SEGMENT_BYTES_FULL,
  SEGMENT_HEADER_BYTES,
  type SegmentParts,
  writeMessageHeader,
} from './wire.ts'

const SLAB_BYTES_MIN = 4 * 1024
const SLAB_BYTES_MAX = 256 * 1024
/** What is left of a slab after a write, when it is less, is not worth keeping. */
const REST_BYTES_MIN = 1024

const EMPTY: Buffer = Buffer.alloc(0)

export interface BatchOwner {
  segmentParts(flags: number): SegmentParts
  give(bytes: Buffer): void
  compresses(): boolean
}

export class Batch {
  readonly #owner: BatchOwner
  #slab: Buffer = EMPTY
  #at = 0
  /** What was not given away begins here. */
  #start = 0
  /** Where the segment begins that is being filled; -1: none is. */
  #segment = -1
  #slabBytes = SLAB_BYTES_MIN

  constructor(owner: BatchOwner) {
    this.#owner = owner
  }

  get length(): number {
    return this.#at - this.#start
  }

  message(header: MessageHeader, payload: Payload, { size, remainingMs }: { size: number; remainingMs: number }): void {
    this.#room(MESSAGE_HEADER_BYTES + size)
    writeMessageHeader(this.#slab, this.#at, header, { size, remainingMs })
    copyPayload(this.#slab, this.#at + MESSAGE_HEADER_BYTES, payload)
    this.#at += MESSAGE_HEADER_BYTES + size
  }

  /** A message that was written before, header and all. */
  written(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#slab.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** A segment of nothing but flags. */
  signal(flags: number): void {
    this.#endSegment()
    this.#room(0)
    this.#endSegment(flags)
  }

  /** Gives away what was gathered. */
  flush(): void {
    this.#endSegment()
    if (this.#at === this.#start) return
    const bytes = this.#slab.subarray(this.#start, this.#at)
    this.#start = this.#at
    this.#slabBytes = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, bytes.length * 8))
    if (this.#slab.length - this.#at < REST_BYTES_MIN || this.#slab.length > SLAB_BYTES_MAX) this.clear()
    this.#owner.give(bytes)
  }

  /** Forgets what was gathered. */
  clear(): void {
    this.#slab = EMPTY
    this.#at = 0
    this.#start = 0
    this.#segment = -1
  }

  #room(bytes: number): void {
    if (this.#segment >= 0 && this.#at - this.#segment >= SEGMENT_BYTES_FULL) this.#endSegment()
    const needed = bytes + (this.#segment < 0 ? SEGMENT_HEADER_BYTES : 0)
    if (this.#at + needed > this.#slab.length) {
      this.flush()
      this.#slab = Buffer.allocUnsafeSlow(Math.max(this.#slabBytes, bytes + SEGMENT_HEADER_BYTES))
      this.#at = 0
      this.#start = 0
    }
    if (this.#segment >= 0) return
    this.#segment = this.#at
    this.#at += SEGMENT_HEADER_BYTES
  }

  #endSegment(flags = 0): void {
    if (this.#segment < 0) return
    const parts = this.#owner.segmentParts(flags)
    this.#at = finishSegment(this.#slab, this.#segment, this.#at, parts, this.#owner.compresses())
    this.#segment = -1
  }
}

export function payloadBytes(payload: Payload): number {
  if (payload instanceof Uint8Array) return payload.length
  let bytes = 0
  for (const part of payload) bytes += part.length
  return bytes
}

export function copyPayload(target: Buffer, at: number, payload: Payload): void {
  if (payload instanceof Uint8Array) {
    target.set(payload, at)
    return
  }
  let position = at
  for (const part of payload) {
    target.set(part, position)
    position += part.length
  }
}
