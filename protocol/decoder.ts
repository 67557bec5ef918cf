/**
 * A connection's incoming bytes, whatever chunks they come in, cut into envelopes: bare ones (v3, v4, and v5 until READY or AUTHENTICATE) or those
 * inside v5's segments. Source: native_protocol_v5.spec §2; what is refused, and how, as Cassandra 5 does it.
 * Always: a declared length is checked before anything is kept for it; whatever was said wrong, next() can be called again unless the error is fatal.
 */

import { ChunkQueue } from '../lib/base/chunks.ts'
import type { ErrorCodeName } from '../lib/base/errors.ts'
import type { Compression } from './compression.ts'
import { Envelope, HEADER_BYTES, RESPONSE_BIT } from './envelope.ts'
import { HeaderFlag, VERSION_BETA, VERSION_LATEST, VERSION_NAMES } from './opcodes.ts'
import {
  PAYLOAD_BYTES_MAX,
  payloadCrc32,
  SEGMENT_HEADER_BYTES,
  SEGMENT_HEADER_BYTES_COMPRESSED,
  SEGMENT_TRAILER_BYTES,
  SegmentHeader,
} from './segment.ts'

const EMPTY: Buffer = Buffer.alloc(0)

const SUPPORTED_VERSIONS = [...VERSION_NAMES.values()].join(', ')

/** What cannot be an envelope. It is answered with `code` on `stream`, in a header of `version` (null: the connection's own). */
export class FrameError extends Error {
  override name = 'FrameError'
  readonly code: ErrorCodeName
  readonly stream: number
  readonly version: number | null
  /** The bytes that follow cannot be understood any more: close. */
  readonly fatal: boolean

  constructor(
    message: string,
    options: { code?: ErrorCodeName; stream?: number; version?: number | null; fatal?: boolean },
  ) {
    super(message)
    this.code = options.code ?? 'PROTOCOL_ERROR'
    this.stream = options.stream ?? 0
    this.version = options.version ?? null
    this.fatal = options.fatal ?? false
  }
}

export class Decoder {
  /** Filled by next(). */
  readonly envelope = new Envelope()
  /** The largest body taken, as sent and as decompressed. */
  bodyBytesMax: number
  /** Of bodies with the flag COMPRESSED, v3 and v4. */
  bodyCompression: Compression | null = null
  readonly #bytes = new ChunkQueue()
  /** What the segments carried, or null while there are none. */
  #payload: ChunkQueue | null = null
  #segmentCompression: Compression | null = null
  readonly #segment = new SegmentHeader()
  /** The last segment said that it holds whole envelopes. */
  #selfContained = false
  /** Bytes of a body too large that are still to come. */
  #skip = 0

  constructor(bodyBytesMax: number) {
    this.bodyBytesMax = bodyBytesMax
  }

  push(chunk: Buffer): void {
    this.#bytes.push(chunk)
  }

  /** Drops what is held. */
  clear(): void {
    this.#bytes.clear()
    this.#payload?.clear()
  }

  /** Lets go of what was given out: `envelope` is empty then. */
  release(): void {
    this.envelope.buffer = EMPTY
    this.envelope.start = 0
    this.envelope.end = 0
    this.#bytes.release()
    this.#payload?.release()
  }

  /** Bytes held that were not given out. */
  get heldBytes(): number {
    return this.#bytes.length + (this.#payload?.length ?? 0)
  }

  /** From here on envelopes come inside segments: v5 after READY or AUTHENTICATE. */
  useSegments(compression: Compression | null): void {
    this.#payload = new ChunkQueue()
    this.#segmentCompression = compression
  }

  /**
   * Fills `envelope` with the next one; false: it has not come yet. Throws FrameError, and a RequestError for a body that cannot be
   * decompressed, whose envelope was filled.
   */
  next(): boolean {
    const payload = this.#payload
    if (payload === null) return this.#cut(this.#bytes)
    while (!this.#cut(payload)) if (!this.#nextSegment(payload)) return false
    return true
  }

  #cut(queue: ChunkQueue): boolean {
    if (this.#skip > 0) {
      this.#skip -= queue.skip(this.#skip)
      if (this.#skip > 0) return false
    }
    if (!queue.peek(HEADER_BYTES)) {
      if (queue === this.#bytes && queue.peek(1)) this.#checkVersion(queue, 0)
      return false
    }
    const buffer = queue.buffer
    const at = queue.at
    const first = buffer[at]!
    const version = first & 0x7f
    const flags = buffer[at + 1]!
    const stream = ((buffer[at + 2]! << 24) >> 16) | buffer[at + 3]!
    const length = ((buffer[at + 5]! << 24) | (buffer[at + 6]! << 16) | (buffer[at + 7]! << 8) | buffer[at + 8]!) >>> 0
    if (version < 3 || version >= VERSION_BETA) this.#checkVersion(queue, stream)
    if (length > this.bodyBytesMax) this.#refuseLength(queue, length, stream)
    if (!queue.take(HEADER_BYTES + length)) return false
    const envelope = this.envelope
    envelope.version = version
    envelope.isResponse = (first & RESPONSE_BIT) !== 0
    envelope.flags = flags
    envelope.stream = stream
    envelope.opcode = buffer[at + 4]!
    envelope.buffer = queue.buffer
    envelope.start = queue.at + HEADER_BYTES
    envelope.end = envelope.start + length
    if ((flags & HeaderFlag.COMPRESSED) !== 0 && this.bodyCompression !== null) this.#decompress(this.bodyCompression)
    return true
  }

  /** Throws unless the next bytes begin an envelope of a version of ours; what is held is then dropped: where the next one begins nobody knows. */
  #checkVersion(queue: ChunkQueue, stream: number): void {
    const version = queue.buffer[queue.at]! & 0x7f
    if (!VERSION_NAMES.has(version)) {
      queue.clear()
      throw new FrameError(
        `Invalid or unsupported protocol version (${version}); supported versions are (${SUPPORTED_VERSIONS})`,
        {
          stream: queue === this.#bytes ? 0 : stream,
          // v1 and v2 have a header of their own; their clients could not read another.
          version: version === 1 || version === 2 ? version : null,
        },
      )
    }
    if (version === VERSION_BETA && queue.peek(2) && (queue.buffer[queue.at + 1]! & HeaderFlag.USE_BETA) === 0) {
      queue.clear()
      throw new FrameError(
        `Beta version of the protocol used (${VERSION_NAMES.get(version)}), but USE_BETA flag is unset`,
        { stream: queue === this.#bytes ? 0 : stream, version },
      )
    }
  }

  #refuseLength(queue: ChunkQueue, length: number, stream: number): never {
    if (queue !== this.#bytes && length > 0x7fffffff)
      throw new FrameError(`Invalid value for envelope header body length field: ${length | 0}`, { fatal: true })
    queue.skip(HEADER_BYTES)
    this.#skip = length
    throw new FrameError(`Request is too big: length ${length} exceeds maximum allowed length ${this.bodyBytesMax}.`, {
      code: 'INVALID',
      stream,
    })
  }

  #decompress(compression: Compression): void {
    const envelope = this.envelope
    const plain = compression.decompressBody(envelope.body(), this.bodyBytesMax)
    envelope.buffer = plain
    envelope.start = 0
    envelope.end = plain.length
  }

  /** Moves the payload of the next segment to `payload`; false: it has not come yet. */
  #nextSegment(payload: ChunkQueue): boolean {
    const compression = this.#segmentCompression
    const headerBytes = compression === null ? SEGMENT_HEADER_BYTES : SEGMENT_HEADER_BYTES_COMPRESSED
    const bytes = this.#bytes
    if (!bytes.peek(headerBytes)) return false
    const header = this.#segment
    header.read(bytes.buffer, bytes.at, compression !== null)
    if (header.crcRead !== header.crcComputed) throw corrupt('header', header.crcRead, header.crcComputed)
    if (!bytes.take(headerBytes + header.payloadBytes + SEGMENT_TRAILER_BYTES)) return false
    const start = bytes.at + headerBytes
    const end = start + header.payloadBytes
    const sent = bytes.buffer.subarray(start, end)
    const crcRead = bytes.buffer.readInt32LE(end)
    const crcComputed = payloadCrc32(sent) | 0
    if (crcRead !== crcComputed) throw corrupt('body', crcRead, crcComputed)
    if ((header.selfContained || this.#selfContained) && (payload.length > 0 || this.#skip > 0))
      throw new FrameError('An envelope is cut off at the end of a self-contained frame', { fatal: true })
    this.#selfContained = header.selfContained
    payload.push(
      compression === null || header.uncompressedBytes === 0
        ? sent
        : inflate(compression, sent, header.uncompressedBytes),
    )
    return true
  }
}

function corrupt(part: 'header' | 'body', read: number, computed: number): FrameError {
  return new FrameError(
    `invalid, unrecoverable CRC mismatch detected in frame ${part}. Read ${read}, Computed ${computed}`,
    { fatal: true, version: null },
  )
}

function inflate(compression: Compression, sent: Buffer, uncompressedBytes: number): Buffer {
  try {
    return compression.decompressBlock(sent, Math.min(uncompressedBytes, PAYLOAD_BYTES_MAX))
  } catch (cause) {
    throw new FrameError((cause as Error).message, { fatal: true, version: VERSION_LATEST })
  }
}
