/**
 * A connection's outgoing bytes: envelopes written one after another into one buffer, compressed (v3, v4) or packed into v5's segments, and taken
 * out all at once. Several small envelopes share a segment; one too large for a segment is cut into several.
 * Source: native_protocol_v5.spec §2.
 */
import { assert } from '../lib/base/assert.ts'
import { BufferPool } from '../lib/base/buffer-pool.ts'
import { ByteWriter } from '../lib/base/bytes.ts'
import { COMPRESS_BYTES_MIN, type Compression } from './compression.ts'
import { beginEnvelope, endEnvelope, HEADER_BYTES } from './envelope.ts'
import { HeaderFlag } from './opcodes.ts'
import {
  PAYLOAD_BYTES_MAX,
  putSegmentHeader,
  putSegmentTrailer,
  SEGMENT_HEADER_BYTES,
  SEGMENT_HEADER_BYTES_COMPRESSED,
  SEGMENT_TRAILER_BYTES,
} from './segment.ts'

const EMPTY = Buffer.alloc(0)

export class Encoder {
  /** Bodies are written straight into it, between begin() and end(). Between recover() and the next begin() it has no memory. */
  readonly writer = new ByteWriter(0)
  readonly #buffers: BufferPool
  #bodyCompression: Compression | null = null
  #segments = false
  #segmentCompression: Compression | null = null
  #segmentHeaderBytes = SEGMENT_HEADER_BYTES
  /** Where the open segment begins; -1: none is open. */
  #segment = -1
  /** Where the open envelope begins; -1: none is open. */
  #envelope = -1

  constructor(buffers: BufferPool = new BufferPool()) {
    this.#buffers = buffers
  }

  /** Bytes not yet taken. */
  get length(): number {
    return this.writer.length
  }

  /** Bodies are compressed from here on where that makes them smaller: v3 and v4. */
  useBodyCompression(compression: Compression): void {
    this.#bodyCompression = compression
  }

  /** Envelopes go into segments from here on: v5 after READY or AUTHENTICATE. */
  useSegments(compression: Compression | null): void {
    this.#segments = true
    this.#segmentCompression = compression
    this.#segmentHeaderBytes = compression === null ? SEGMENT_HEADER_BYTES : SEGMENT_HEADER_BYTES_COMPRESSED
  }

  /** `firstByte`: the version, with RESPONSE_BIT when a server speaks. */
  begin(firstByte: number, flags: number, stream: number, opcode: number): void {
    if (this.writer.buffer.length === 0) this.writer.use(this.#buffers.take())
    if (this.#segments && this.#segment < 0) this.#segment = this.writer.reserve(this.#segmentHeaderBytes)
    this.#envelope = beginEnvelope(this.writer, firstByte, flags, stream, opcode)
  }

  end(): void {
    const at = this.#envelope
    assert(at >= 0, 'an envelope is open')
    this.#envelope = -1
    if (this.#segments) {
      endEnvelope(this.writer, at)
      if (this.writer.length - this.#segment - this.#segmentHeaderBytes > PAYLOAD_BYTES_MAX) this.#overflow(at)
      return
    }
    if (this.#bodyCompression !== null) this.#compressBody(at, this.#bodyCompression)
    endEnvelope(this.writer, at)
  }

  /** Takes back the open envelope, as if it had not been begun. */
  rollback(): void {
    if (this.#envelope < 0) return
    this.writer.length = this.#envelope
    this.#envelope = -1
  }

  /** All bytes since the last call, ready to be sent; their memory is the caller's. */
  take(): Buffer {
    const taken = Buffer.from(this.lend())
    this.recover(true)
    return taken
  }

  /** As take(), but their memory is the encoder's: recover() must follow before anything else is written. */
  lend(): Buffer {
    assert(this.#envelope < 0, 'no envelope is open')
    this.#closeSegment()
    return this.writer.view()
  }

  /** `isRead`: nobody looks at what was lent any more. Else its memory is left to who does. */
  recover(isRead: boolean): void {
    const { writer } = this
    if (isRead) this.#buffers.give(writer.buffer)
    writer.use(EMPTY)
  }

  #compressBody(at: number, compression: Compression): void {
    const writer = this.writer
    const start = at + HEADER_BYTES
    if (writer.length - start < COMPRESS_BYTES_MIN) return
    const packed = compression.compressBody(writer.buffer.subarray(start, writer.length))
    if (packed.length >= writer.length - start) return
    writer.length = start
    writer.bytes(packed)
    writer.buffer[at + 1]! |= HeaderFlag.COMPRESSED
  }

  /** The envelope at `at` made the open segment too long: it goes to one of its own, or to several. */
  #overflow(at: number): void {
    const writer = this.writer
    const envelope = Buffer.from(writer.buffer.subarray(at, writer.length))
    writer.length = at
    this.#closeSegment()
    if (envelope.length <= PAYLOAD_BYTES_MAX) {
      this.#segment = writer.reserve(this.#segmentHeaderBytes)
      writer.bytes(envelope)
      return
    }
    for (let start = 0; start < envelope.length; start += PAYLOAD_BYTES_MAX) {
      this.#segment = writer.reserve(this.#segmentHeaderBytes)
      writer.slice(envelope, start, Math.min(start + PAYLOAD_BYTES_MAX, envelope.length))
      this.#closeSegment(false)
    }
  }

  #closeSegment(selfContained = true): void {
    const at = this.#segment
    if (at < 0) return
    this.#segment = -1
    const writer = this.writer
    const start = at + this.#segmentHeaderBytes
    if (writer.length === start) {
      writer.length = at
      return
    }
    let uncompressed: number | null = null
    if (this.#segmentCompression !== null) uncompressed = this.#compressPayload(start, this.#segmentCompression)
    const end = writer.length
    putSegmentHeader(writer.buffer, at, end - start, uncompressed, selfContained)
    writer.reserve(SEGMENT_TRAILER_BYTES)
    putSegmentTrailer(writer.buffer, end, writer.buffer.subarray(start, end))
  }

  /** Returns what the payload's length was, or 0 when it stays as it is. */
  #compressPayload(start: number, compression: Compression): number {
    const writer = this.writer
    const length = writer.length - start
    if (length < COMPRESS_BYTES_MIN) return 0
    const packed = compression.compressBlock(writer.buffer.subarray(start, writer.length))
    if (packed.length >= length) return 0
    writer.length = start
    writer.bytes(packed)
    return length
  }
}
