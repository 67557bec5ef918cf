/**
 * What a node remembers of rows of vector-clock tables whose writes it led, so that the next put need not read the row: the last counter that its actor
 * gave the row, and for how many more versions there surely is room until somebody must count them.
 *
 * A set-associative table in typed arrays: a row is found by two hashes of its table, position and clustering, in a set of eight. It grows up to a fixed
 * size; from then on the row of the set goes whose write is the oldest.
 * Always: a row that is not here is unknown, and must be read. `last` is no less than the last counter that was given to the row, `room` no more than
 * there is: each version that is joined with the row at this node takes one, whoever made it; what comes otherwise than in mutations, and what changes
 * how many are allowed, takes all room of all rows. It is of one actor, and of one run of the node: whoever becomes another actor clears it.
 * Two rows with the same hashes, one pair in 2^64, share an entry. The greater counter is true of both; the room is of the one that was counted last,
 * so that the other may come to have more versions than are allowed, by no more than ROOM_MAX.
 */
import type { Random } from '../../../lib/runtime/runtime.ts'
import { EntryKind, MutationReader } from '../mutation.ts'
import { RowReader, readInt32, VERSION_COLUMN_ID } from '../row.ts'

const WAYS = 8
const SETS_FIRST = 1 << 8
/** A million rows of 17 bytes. */
const SETS_MAX = 1 << 17
/** More is not remembered. */
export const ROOM_MAX = 0x7f
/** The last version that was given here stands, as far as is known. */
const STANDS = 0x80

export interface KnownRowsOptions {
  /** Nobody outside shall choose rows that share an entry. */
  readonly random: Pick<Random, 'fill'>
  /** Powers of two. */
  readonly setsFirst?: number
  readonly setsMax?: number
}

export class KnownRows {
  readonly #options: KnownRowsOptions
  /** 0: nothing was told yet, and no memory is taken. */
  #sets = 0
  #seed = 0
  /** By entry; one whose last counter is 0 is free. */
  #hashes = new Int32Array(0)
  #others = new Int32Array(0)
  #lasts = new Float64Array(0)
  #rooms = new Uint8Array(0)
  /** Of the row that was looked for last; its entry: -1: it has none. */
  #hash = 0
  #other = 0
  #at = -1
  readonly #mutation = new MutationReader()
  readonly #row = new RowReader()
  /** Versions that were joined with rows here, but for those that leaders of this node counted. */
  arrivals = 0
  /** While a leader applies what it counts itself. */
  isLeading = false

  constructor(options: KnownRowsOptions) {
    this.#options = options
  }

  /** Looks for the row of the entry on which the reader stands. */
  find(entry: MutationReader): boolean {
    if (this.#sets === 0) this.#begin()
    this.#aim(entry)
    this.#at = this.#look()
    return this.#at >= 0
  }

  /** Of the row that was found: the last counter that it was given. */
  get last(): number {
    return this.#lasts[this.#at]!
  }

  /** How many more versions there is room for; 0: somebody must count. */
  get room(): number {
    return this.#rooms[this.#at]! & ROOM_MAX
  }

  /** Whether what it was given last is a version, and nothing is known of what may have taken its place. */
  get stands(): boolean {
    return (this.#rooms[this.#at]! & STANDS) !== 0
  }

  /** Tells of the row that was looked for last, found or not. */
  set(last: number, room: number, stands: boolean): void {
    let at = this.#at
    if (at < 0) {
      at = this.#place()
      this.#hashes[at] = this.#hash
      this.#others[at] = this.#other
      this.#lasts[at] = 0
      this.#at = at
    }
    if (last > this.#lasts[at]!) this.#lasts[at] = last
    this.#rooms[at] = Math.max(0, Math.min(room, ROOM_MAX)) | (stands ? STANDS : 0)
  }

  /** What is joined with rows here takes of their room. The mutation is of a vector-clock table. */
  joined(mutation: MutationReader): void {
    if (this.isLeading) return
    const entry = this.#mutation.reset(mutation.buffer, mutation.tableStart, mutation.end)
    while (entry.next()) {
      if (entry.kind !== EntryKind.ROW) continue
      const versions = this.#versionsIn(entry)
      this.arrivals += versions
      if (this.#sets === 0 || !this.find(entry)) continue
      this.#rooms[this.#at] = Math.max(0, this.room - versions)
    }
  }

  /** What has no dots is one version, however much of it there is. */
  #versionsIn({ buffer, valueStart, valueEnd }: MutationReader): number {
    const row = this.#row.reset(buffer, valueStart, valueEnd)
    let dotted = 0
    let plain = row.hasLiveness ? 1 : 0
    while (row.next())
      if (!row.isDotted) plain = 1
      else if (row.columnId === VERSION_COLUMN_ID) dotted++
    return dotted + plain
  }

  /** There may be more versions of any row than it seemed, or fewer are allowed. */
  forgetRoom(): void {
    this.#rooms.fill(0)
    this.arrivals += ROOM_MAX
  }

  /** What was given is another actor's. */
  clear(): void {
    this.#lasts.fill(0)
  }

  #begin(): void {
    const seed = this.#options.random.fill(new Uint8Array(4))
    this.#seed = readInt32(seed, 0)
    this.#allocate(this.#options.setsFirst ?? SETS_FIRST)
  }

  #allocate(sets: number): void {
    this.#sets = sets
    this.#hashes = new Int32Array(sets * WAYS)
    this.#others = new Int32Array(sets * WAYS)
    this.#lasts = new Float64Array(sets * WAYS)
    this.#rooms = new Uint8Array(sets * WAYS)
  }

  /** Two hashes of table, position and clustering, which depend on each other in nothing but the seed. */
  #aim({ buffer, tableStart, positionEnd, boundStart, boundEnd }: MutationReader): void {
    let hash = this.#seed
    let other = ~this.#seed
    let at = tableStart
    let end = positionEnd
    for (;;) {
      for (; at + 4 <= end; at += 4) {
        const word = readInt32(buffer, at)
        hash = Math.imul(hash ^ word, 0x9e3779b1)
        hash ^= hash >>> 15
        other = Math.imul((other ^ (other >>> 13)) + word, 0x85ebca6b)
      }
      let word = end - at
      for (; at < end; at++) word = (word << 8) | buffer[at]!
      hash = Math.imul(hash ^ word, 0xc2b2ae35)
      hash ^= hash >>> 16
      other = Math.imul((other ^ (other >>> 16)) + word, 0x27d4eb2f)
      if (end === boundEnd) break
      at = boundStart
      end = boundEnd
    }
    this.#hash = hash
    this.#other = other ^ (other >>> 15)
  }

  #look(): number {
    const first = this.#setOf(this.#hash)
    for (let at = first; at < first + WAYS; at++)
      if (this.#hashes[at] === this.#hash && this.#others[at] === this.#other && this.#lasts[at] !== 0) return at
    return -1
  }

  #setOf(hash: number): number {
    return (hash & (this.#sets - 1)) * WAYS
  }

  /** A free entry for the row that was looked for. */
  #place(): number {
    const lasts = this.#lasts
    const first = this.#setOf(this.#hash)
    let oldest = first
    for (let at = first; at < first + WAYS; at++) {
      if (lasts[at] === 0) return at
      if (lasts[at]! < lasts[oldest]!) oldest = at
    }
    if (this.#sets >= (this.#options.setsMax ?? SETS_MAX)) return oldest
    this.#grow()
    return this.#place()
  }

  #grow(): void {
    const hashes = this.#hashes
    const others = this.#others
    const lasts = this.#lasts
    const rooms = this.#rooms
    this.#allocate(this.#sets * 2)
    for (let from = 0; from < lasts.length; from++) {
      if (lasts[from] === 0) continue
      // Half of a set at most stays beside others: there is a free one.
      let to = this.#setOf(hashes[from]!)
      while (this.#lasts[to] !== 0) to++
      this.#hashes[to] = hashes[from]!
      this.#others[to] = others[from]!
      this.#lasts[to] = lasts[from]!
      this.#rooms[to] = rooms[from]!
    }
  }
}
