/**
 * Terms of an index as positions in its own table: what a value is looked up by. The same when an entry is written and when it is looked for.
 *
 * position := token 8 | key length u16 | key
 * key      := component of the value (types/ordered.ts); of a map's entry those of key and value; at most KEY_BYTES of them
 * token    := in an index that keeps order, the first bytes of the value in its order; else the key's Murmur3 token
 *
 * Always: values that compare as equal have one position. Positions of an index that keeps order ascend with the values as far as eight bytes
 * tell; several long values may share a position: who looks them up compares the values themselves.
 */
import { ByteWriter } from '../base/bytes.ts'
import { murmur3Token } from '../base/hash/murmur3.ts'
import { decodePath, encodeComponent } from '../types/ordered.ts'
import { hasOwnEmpty } from '../types/ordered-value.ts'
import type { CqlType } from '../types/type.ts'
import { type Analyzer, analyzerOf } from './index-analysis.ts'
import { type IndexTarget, isSai, keepsOrder, termType } from './index-target.ts'
import type { IndexSchema } from './table.ts'

/** Longer values are told apart by those who compare them. */
const KEY_BYTES = 1024
const HEAD_BYTES = 10
const TOKEN_BYTES = 8
const COMPONENT = 0x40
const EMPTY = 0x3f

export class IndexTerms {
  readonly #type: CqlType
  /** Of a map whose entries are indexed. */
  readonly #keyType: CqlType | null
  readonly #keepsOrder: boolean
  readonly #analyzer: Analyzer | null
  readonly #key = new ByteWriter(64)
  readonly #token = new Int32Array(2)

  constructor(index: IndexSchema, target: IndexTarget) {
    const { column, part } = target
    this.#type = termType(target)
    this.#keyType = part === 'entries' && column.type.kind === 'map' ? column.type.key : null
    this.#keepsOrder = part === 'simple' && isSai(index) && keepsOrder(column.type)
    this.#analyzer = analyzerOf(index, target)
  }

  /** The term of a value. */
  ofValue(value: Buffer): Buffer {
    const key = this.#key
    key.reset()
    this.#addValue(value)
    return this.#position()
  }

  /** The term of a value that stands in order already: the path of a set's element or of a map's key. */
  ofPath(path: Buffer): Buffer {
    if (this.#analyzer !== null) return this.ofValue(decodePath(this.#type, path))
    this.#key.reset()
    this.#addPath(this.#type, path)
    return this.#position()
  }

  /** The term of a map's entry. */
  ofEntry(key: Buffer, value: Buffer): Buffer {
    this.#key.reset()
    encodeComponent(this.#keyType!, false, key, this.#key)
    this.#addValue(value)
    return this.#position()
  }

  ofEntryAtPath(path: Buffer, value: Buffer): Buffer {
    this.#key.reset()
    this.#addPath(this.#keyType!, path)
    this.#addValue(value)
    return this.#position()
  }

  /** The least position that a value at or after this one can have. */
  from(value: Buffer): Buffer {
    return this.ofValue(value).subarray(0, TOKEN_BYTES)
  }

  /** Greater than every position that a value at or before this one can have; null: there is none greater. */
  to(value: Buffer): Buffer | null {
    const bound = Buffer.from(this.from(value))
    for (let i = TOKEN_BYTES - 1; i >= 0; i--) {
      bound[i]!++
      if (bound[i] !== 0) return bound
    }
    return null
  }

  #addValue(value: Buffer): void {
    const { length } = value
    const analyzed = this.#analyzer === null || length === 0 ? value : this.#analyzer(value)
    encodeComponent(this.#type, false, analyzed, this.#key)
  }

  #addPath(type: CqlType, path: Buffer): void {
    if (path.length === 0 && !hasOwnEmpty(type)) this.#key.uint8(EMPTY)
    else {
      this.#key.uint8(COMPONENT)
      this.#key.bytes(path)
    }
  }

  #position(): Buffer {
    const whole = this.#key
    const length = Math.min(whole.length, KEY_BYTES)
    const position = Buffer.alloc(HEAD_BYTES + length)
    position.set(whole.buffer.subarray(0, length), HEAD_BYTES)
    if (this.#keepsOrder) {
      // Before all others is what has no bytes.
      const isEmpty = position[HEAD_BYTES] === EMPTY
      if (!isEmpty) position.set(position.subarray(HEAD_BYTES + 1, HEAD_BYTES + 1 + TOKEN_BYTES), 0)
    } else {
      murmur3Token(position, HEAD_BYTES, position.length, this.#token)
      position.writeInt32BE(this.#token[0]! ^ 0x80000000, 0)
      position.writeInt32BE(this.#token[1]!, 4)
    }
    position.writeUInt16BE(length, TOKEN_BYTES)
    return position
  }
}
