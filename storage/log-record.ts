/**
 * What a commit-log record holds: the mutations of one request, all or nothing.
 * payload := (length u32 | mutation)*
 */
import { BytesError } from '../lib/base/bytes.ts'
import { readInt32 } from './model/row.ts'
import { validateMutation } from './model/validation.ts'

const LENGTH_BYTES = 4

/** Gathers the parts of one record without copying them; it is reused. Records of as many parts as the one before allocate nothing. */
export class LogRecord {
  readonly #parts: Uint8Array[] = []
  readonly #tables: string[] = []
  readonly #lengths: Buffer[] = []
  #partCount = 0
  #tableCount = 0

  clear(): void {
    this.#partCount = 0
    this.#tableCount = 0
  }

  get isEmpty(): boolean {
    return this.#partCount === 0
  }

  /** Valid until clear(). */
  get parts(): readonly Uint8Array[] {
    if (this.#parts.length > this.#partCount) this.#parts.length = this.#partCount
    return this.#parts
  }

  /** Tables with something in the record, each once. Valid until clear(). */
  get tables(): readonly string[] {
    if (this.#tables.length > this.#tableCount) this.#tables.length = this.#tableCount
    return this.#tables
  }

  add(mutation: Buffer, table: string): void {
    const index = this.#partCount >> 1
    let length = this.#lengths[index]
    if (length === undefined) {
      length = Buffer.alloc(LENGTH_BYTES)
      this.#lengths.push(length)
    }
    const bytes = mutation.length
    length[0] = bytes >>> 24
    length[1] = bytes >>> 16
    length[2] = bytes >>> 8
    length[3] = bytes
    this.#parts[this.#partCount++] = length
    this.#parts[this.#partCount++] = mutation
    for (let i = 0; i < this.#tableCount; i++) if (this.#tables[i] === table) return
    this.#tables[this.#tableCount++] = table
  }
}

/** The mutations of a record, checked. Throws BytesError on what is none. */
export function readLogRecord(payload: Buffer): Buffer[] {
  const mutations: Buffer[] = []
  let at = 0
  while (at < payload.length) {
    if (at + LENGTH_BYTES > payload.length) throw new BytesError('a record ends within a length')
    const end = at + LENGTH_BYTES + (readInt32(payload, at) >>> 0)
    if (end > payload.length) throw new BytesError('a record ends within a mutation')
    const mutation = payload.subarray(at + LENGTH_BYTES, end)
    validateMutation(mutation)
    mutations.push(mutation)
    at = end
  }
  return mutations
}
