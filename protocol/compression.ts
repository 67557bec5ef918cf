/**
 * Compression of bodies (v3, v4: lz4 and snappy) and of segments (v5: lz4). Source: native_protocol_v4.spec §5, native_protocol_v5.spec §2.1.
 * The libraries are loaded when a client first asks for them. Always: a declared length is checked against its limit before memory is taken for it,
 * and the length that comes out is the declared one, or it is a PROTOCOL_ERROR.
 */
import { protocolError } from './notation.ts'
import { isWholeSnappy, readSnappyLength } from './snappy-check.ts'

export type CompressionName = 'lz4' | 'snappy'

/** Below this many bytes compressing costs more than it saves. */
export const COMPRESS_BYTES_MIN = 512

export interface Compression {
  readonly name: CompressionName
  /** A body of v3 or v4, with its length as the algorithm's own framing has it. */
  compressBody(body: Buffer): Uint8Array
  decompressBody(body: Buffer, bytesMax: number): Buffer
  /** A bare block, whose uncompressed length travels elsewhere. Only lz4 has it. */
  compressBlock(block: Buffer): Buffer
  decompressBlock(block: Buffer, length: number): Buffer
}

interface Lz4 {
  compressSync(data: Buffer): Buffer
  uncompressSync(data: Buffer): Buffer
}

/** lz4-napi puts the original length before its block, four bytes, little-endian. */
const LZ4_PREFIX_BYTES = 4

class Lz4Compression implements Compression {
  readonly name = 'lz4'
  readonly #lz4: Lz4

  constructor(lz4: Lz4) {
    this.#lz4 = lz4
  }

  /** The protocol wants the length big-endian. */
  compressBody(body: Buffer): Buffer {
    const packed = this.#lz4.compressSync(body)
    packed.writeInt32BE(body.length, 0)
    return packed
  }

  decompressBody(body: Buffer, bytesMax: number): Buffer {
    if (body.length < LZ4_PREFIX_BYTES) throw protocolError('Compressed body without its length')
    const length = body.readUInt32BE(0)
    checkLength(length, bytesMax)
    return this.decompressBlock(body.subarray(LZ4_PREFIX_BYTES), length)
  }

  compressBlock(block: Buffer): Buffer {
    return this.#lz4.compressSync(block).subarray(LZ4_PREFIX_BYTES)
  }

  decompressBlock(block: Buffer, length: number): Buffer {
    if (length === 0) return Buffer.alloc(0)
    const prefixed = Buffer.allocUnsafe(LZ4_PREFIX_BYTES + block.length)
    prefixed.writeUInt32LE(length, 0)
    prefixed.set(block, LZ4_PREFIX_BYTES)
    let plain: Buffer
    try {
      plain = this.#lz4.uncompressSync(prefixed)
    } catch {
      throw protocolError('Invalid LZ4 block')
    }
    // The library does not compare the two.
    if (plain.length !== length) throw protocolError(`LZ4 block of ${plain.length} bytes where ${length} were declared`)
    return plain
  }
}

interface Snappy {
  compress(data: Buffer): Uint8Array
  uncompress(data: Buffer, bytesMax: number): Uint8Array
}

class SnappyCompression implements Compression {
  readonly name = 'snappy'
  readonly #snappy: Snappy

  constructor(snappy: Snappy) {
    this.#snappy = snappy
  }

  compressBody(body: Buffer): Uint8Array {
    return this.#snappy.compress(body)
  }

  decompressBody(body: Buffer, bytesMax: number): Buffer {
    const declared = readSnappyLength(body)
    if (declared === null) throw protocolError('Invalid Snappy block')
    checkLength(declared.length, bytesMax)
    if (!isWholeSnappy(body, declared.start, declared.length)) throw protocolError('Invalid Snappy block')
    const plain = this.#snappy.uncompress(body, bytesMax)
    return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength)
  }

  compressBlock(): Buffer {
    throw protocolError('Snappy compression is not supported in protocol V5')
  }

  decompressBlock(): Buffer {
    throw protocolError('Snappy compression is not supported in protocol V5')
  }
}

function checkLength(length: number, bytesMax: number): void {
  if (length > bytesMax)
    throw protocolError(`Compressed body declares ${length} bytes, of which ${bytesMax} are allowed`)
}

/** Loads the library; the name is one of those in SUPPORTED. */
export async function loadCompression(name: CompressionName): Promise<Compression> {
  if (name === 'lz4') return new Lz4Compression(await import('lz4-napi'))
  const snappy = await import('snappyjs')
  return new SnappyCompression(snappy.default)
}
