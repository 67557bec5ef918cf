/**
 * Up to when tables were truncated: what was written before that and comes late (delayed, or kept as a hint) is not taken any more.
 * Always: who was told that a table is empty finds nothing in it that was acknowledged before.
 */
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { readInt32 } from '../../storage/model/row.ts'

const TABLE_ID_BYTES = 16

interface Mark {
  readonly id: Buffer
  micros: number
}

export class TruncationMarks {
  /** By the first four bytes of the table's id. */
  readonly #marks = new Map<number, Mark[]>()

  /** What was written to the table until then is gone. µs of the cluster's hybrid clock. */
  set(table: string, micros: number): void {
    const id = uuidBytes(table)
    const prefix = readInt32(id, 0)
    const marks = this.#marks.get(prefix) ?? []
    this.#marks.set(prefix, marks)
    const known = marks.find((mark) => mark.id.equals(id))
    if (known === undefined) marks.push({ id, micros })
    else if (known.micros < micros) known.micros = micros
  }

  /** Whether a mutation of a write that began then still counts. */
  takes(mutation: Buffer, writtenAt: number): boolean {
    if (this.#marks.size === 0) return true
    const marks = this.#marks.get(readInt32(mutation, 0))
    if (marks === undefined) return true
    for (const { id, micros } of marks) if (id.compare(mutation, 0, TABLE_ID_BYTES) === 0) return writtenAt > micros
    return true
  }

  /** Forgets tables that were dropped. */
  keep(isKnown: (table: string) => boolean): void {
    for (const [prefix, marks] of this.#marks) {
      const kept = marks.filter(({ id }) => isKnown(uuidText(id)))
      if (kept.length === 0) this.#marks.delete(prefix)
      else this.#marks.set(prefix, kept)
    }
  }
}
