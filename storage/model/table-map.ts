/**
 * Something for each table, found by the 16 bytes of its id where they stand in a mutation: no string is made for a look-up.
 */

import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { TABLE_ID_BYTES } from './mutation.ts'
import { readInt32 } from './row.ts'

const PREFIX_BYTES = 4

interface Entry<T> {
  readonly id: Buffer
  readonly value: T
}

export class TableMap<T> {
  /** By the first four bytes of the ids: the finest part of the time in which a table was made, so hardly ever shared. */
  readonly #byPrefix = new Map<number, readonly Entry<T>[]>()

  get isEmpty(): boolean {
    return this.#byPrefix.size === 0
  }

  /** Of the table whose id stands in these bytes there. */
  find(bytes: Buffer, at: number): T | null {
    const entries = this.#byPrefix.get(readInt32(bytes, at))
    if (entries === undefined) return null
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!
      if (sameRest(entry.id, bytes, at)) return entry.value
    }
    return null
  }

  set(table: string, value: T): void {
    const id = uuidBytes(table)
    this.#change(id, [...this.#others(id), { id, value }])
  }

  delete(table: string): void {
    const id = uuidBytes(table)
    this.#change(id, this.#others(id))
  }

  /** Forgets the others. */
  keep(isKnown: (table: string) => boolean): void {
    for (const entries of [...this.#byPrefix.values()])
      for (const { id } of entries) {
        const table = uuidText(id)
        if (!isKnown(table)) this.delete(table)
      }
  }

  #others(id: Buffer): readonly Entry<T>[] {
    return (this.#byPrefix.get(readInt32(id, 0)) ?? []).filter((entry) => !entry.id.equals(id))
  }

  #change(id: Buffer, entries: readonly Entry<T>[]): void {
    const prefix = readInt32(id, 0)
    if (entries.length === 0) this.#byPrefix.delete(prefix)
    else this.#byPrefix.set(prefix, entries)
  }
}

function sameRest(id: Buffer, bytes: Buffer, at: number): boolean {
  for (let i = PREFIX_BYTES; i < TABLE_ID_BYTES; i++) if (id[i] !== bytes[at + i]) return false
  return true
}
