/**
 * What clients get as vclock(*) and hand back with USING VCLOCK: a context, sealed with the row that it is of, so that one of another row is not
 * taken for it. The seal is a check, no secret: who makes one up deceives but his own row.
 *
 * blob := version u8 | hash 8 of (table id | partition key | clustering | context, lengths between) | context (storage/model/causal/context.ts)
 * Always: null, and the empty blob, have seen nothing.
 */
import { COUNTER_MAX, NO_CONTEXT, validateContext } from '../../../storage/model/causal/context.ts'
import { readInt32 } from '../../../storage/model/row.ts'
import { BytesError, ByteWriter } from '../../base/bytes.ts'
import { invalid } from '../../base/errors.ts'
import { murmur3Token } from '../../base/hash/murmur3.ts'

const VERSION = 1
const HASH_BYTES = 8
const HEAD_BYTES = 1 + HASH_BYTES
/** Far more than pruning leaves; what is larger was not made here. */
const CONTEXT_BYTES_MAX = 64 * 1024

export const MALFORMED_VCLOCK = 'Malformed vclock: hand back the bytes that a SELECT gave as they are'
export const FOREIGN_VCLOCK = 'The vclock is not of this row: hand back what a SELECT of the same row gave'

/** Of one table: makes blobs and opens them. */
export class ContextSeal {
  readonly #tableId: Buffer
  readonly #scratch = new ByteWriter(256)
  readonly #hash = new Int32Array(2)

  /** The table's id, 16 bytes. */
  constructor(tableId: Buffer) {
    this.#tableId = tableId
  }

  /** The blob of a row's context, a copy. */
  seal(key: Uint8Array, clustering: Uint8Array, context: Buffer): Buffer {
    const blob = Buffer.allocUnsafe(HEAD_BYTES + context.length)
    this.#hashOf(key, clustering, context)
    blob[0] = VERSION
    blob.writeInt32BE(this.#hash[0]!, 1)
    blob.writeInt32BE(this.#hash[1]!, 5)
    blob.set(context, HEAD_BYTES)
    return blob
  }

  /** The context, a view of the blob. Throws INVALID for bytes that no read of this row gave. */
  open(blob: Buffer | null, key: Uint8Array, clustering: Uint8Array): Buffer {
    if (blob === null || blob.length === 0) return NO_CONTEXT
    if (blob.length < HEAD_BYTES || blob.length > CONTEXT_BYTES_MAX || blob[0] !== VERSION) throw malformed()
    const context = blob.subarray(HEAD_BYTES)
    if (greatestOf(context) > COUNTER_MAX) throw malformed()
    this.#hashOf(key, clustering, context)
    if (readInt32(blob, 1) !== this.#hash[0] || readInt32(blob, 5) !== this.#hash[1]) throw invalid(FOREIGN_VCLOCK)
    return context
  }

  #hashOf(key: Uint8Array, clustering: Uint8Array, context: Uint8Array): void {
    const out = this.#scratch
    out.reset()
    out.bytes(this.#tableId)
    out.int32(key.length)
    out.bytes(key)
    out.int32(clustering.length)
    out.bytes(clustering)
    out.bytes(context)
    murmur3Token(out.buffer, 0, out.length, this.#hash)
  }
}

/** The greatest counter of what a client handed back. */
function greatestOf(context: Buffer): number {
  try {
    return validateContext(context)
  } catch (error) {
    if (error instanceof BytesError) throw malformed()
    throw error
  }
}

function malformed(): Error {
  return invalid(MALFORMED_VCLOCK)
}
