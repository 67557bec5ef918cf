/**
 * Whether a Snappy block is whole, before it is decompressed: the library neither compares what comes out with the length that was declared, nor
 * survives every length in between. Source: Snappy's format_description.txt.
 */

/** The uncompressed length that a block begins with and where its elements begin, or null. */
export function readSnappyLength(block: Uint8Array): { length: number; start: number } | null {
  let length = 0
  for (let index = 0; index < 5 && index < block.length; index++) {
    const byte = block[index]!
    length += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80) return length > 0xffff_ffff ? null : { length, start: index + 1 }
  }
  return null
}

/** A literal's length of more than 60 follows its tag in one to four bytes, little-endian. */
const LITERAL_INLINE_MAX = 60

/** True: the elements end where the block ends, copy only from what is there already, and give `length` bytes. */
export function isWholeSnappy(block: Uint8Array, start: number, length: number): boolean {
  let at = start
  let out = 0
  while (at < block.length) {
    const tag = block[at]!
    const kind = tag & 3
    at += 1
    let size = (tag >>> 2) + 1
    if (kind === 0) {
      if (size > LITERAL_INLINE_MAX) {
        const bytes = size - LITERAL_INLINE_MAX
        if (at + bytes > block.length) return false
        size = littleEndian(block, at, bytes) + 1
        at += bytes
      }
      at += size
    } else {
      const bytes = kind === 3 ? 4 : kind
      if (at + bytes > block.length) return false
      let offset = littleEndian(block, at, bytes)
      at += bytes
      if (kind === 1) {
        offset += (tag >>> 5) << 8
        size = ((tag >>> 2) & 7) + 4
      }
      if (offset === 0 || offset > out) return false
    }
    out += size
    if (at > block.length || out > length) return false
  }
  return out === length
}

function littleEndian(block: Uint8Array, at: number, bytes: number): number {
  let value = 0
  for (let index = bytes - 1; index >= 0; index--) value = value * 256 + block[at + index]!
  return value
}
