/**
 * The range tombstones of one partition along a slice, in the order in which its rows are read: which deletion covers the row at hand, and how many
 * tombstones were passed on the way. Source: Cassandra's markers. Where the deletion that holds changes, between no rows too, there is one
 * tombstone; one that holds at an edge of the slice is opened or closed there. What the partition's own deletion covers is none.
 * Always: a range is visited once, however many rows it covers and however many there are; in each source they do not overlap.
 */
import { compareDeletions, DELETION_BYTES } from '../model/deletion.ts'
import { EntryKind } from '../model/mutation.ts'
import { readInt32 } from '../model/row.ts'
import { isPrefix, partitionRecordKey } from './keys.ts'
import { greaterDeletion } from './row-resolver.ts'
import { abandon, alsoWait, type Source, type SourceCursor } from './source.ts'

const AFTER = Buffer.from([0])
/** Bounds passed before others get the event loop. */
const BOUNDS_PER_TURN = 2048

interface Range {
  readonly start: Buffer
  readonly end: Buffer
  readonly deletion: Buffer
}

/** Told of each change of the deletion that counts. */
export interface RangeSink {
  open(bound: Buffer, deletion: Buffer): void
  close(bound: Buffer): void
  /** No more bounds are passed. */
  readonly isFull: boolean
}

export interface RangeDeletionsOptions {
  readonly sources: readonly Source[]
  readonly position: Buffer
  readonly reversed: boolean
  /** The partition's own deletion. */
  readonly covered: Buffer | null
  /** Seconds: tombstones made before are not counted. */
  readonly gcBefore: number
  /** Beyond so many the read fails: no more of them are looked at. */
  readonly tombstonesMax: number
  /** Only the row at which it begins is asked for. */
  readonly isSingle: boolean
  /** Null: nobody wants to know. */
  readonly sink: RangeSink | null
  pause(): Promise<void>
}

export class RangeDeletions {
  readonly #options: RangeDeletionsOptions
  readonly #cursors: SourceCursor[]
  /** Of each source the range that is at hand or comes next; null: no more. */
  readonly #ranges: (Range | null)[]
  readonly #prefix: Buffer
  /** Where the deletion may change next; null: nowhere. */
  #next: Buffer | null = null
  /** The deletion that counts as open: the greatest that holds, unless it is too old to be counted. */
  #open: Buffer | null = null
  #passed = 0
  /** Where in the slice the deletion that counts changed last. */
  #last: Buffer | null = null
  /** Of the row last asked for: the greatest deletion of a range that covers it. */
  deletion: Buffer | null = null
  /** Tombstones that were passed. */
  met = 0

  constructor(options: RangeDeletionsOptions) {
    this.#options = options
    this.#cursors = options.sources.map((source) => source.cursor())
    this.#ranges = options.sources.map(() => null)
    this.#prefix = partitionRecordKey(options.position, EntryKind.RANGE_TOMBSTONE)
  }

  /** Begins a slice at the bound from which its rows are read. */
  begin(bound: Buffer): Promise<void> | undefined {
    this.#open = null
    for (let i = 0; i < this.#cursors.length; i++) {
      const wait = this.#seek(i, bound)
      if (wait) return this.#beginLater(i, wait, bound)
    }
    this.#holdFirst(bound)
    return undefined
  }

  async #beginLater(first: number, wait: Promise<void>, bound: Buffer): Promise<void> {
    await wait
    for (let i = first + 1; i < this.#cursors.length; i++) await this.#seek(i, bound)
    this.#holdFirst(bound)
  }

  #holdFirst(bound: Buffer): void {
    this.#hold(bound)
    this.#last = null
  }

  /** To the range that holds at the bound, or to the next one in the direction of reading. */
  #seek(i: number, bound: Buffer): Promise<void> | undefined {
    const { reversed } = this.#options
    const wait = this.#cursors[i]!.seekBefore(
      Buffer.concat(reversed ? [this.#prefix, bound] : [this.#prefix, bound, AFTER]),
    )
    if (wait) return wait.then(() => this.#sought(i, bound))
    return this.#sought(i, bound)
  }

  #sought(i: number, bound: Buffer): Promise<void> | undefined {
    this.#read(i)
    const range = this.#ranges[i]!
    if (this.#options.reversed || (range !== null && range.end.compare(bound) > 0)) return undefined
    this.#ranges[i] = null
    if (this.#options.isSingle) return undefined
    const wait = this.#cursors[i]!.seek(Buffer.concat([this.#prefix, bound, AFTER]))
    if (wait) return wait.then(() => this.#read(i))
    this.#read(i)
    return undefined
  }

  #read(i: number): void {
    const cursor = this.#cursors[i]!
    this.#ranges[i] = null
    if (!cursor.valid) return
    const key = cursor.key
    if (!isPrefix(this.#prefix, key)) return
    const value = cursor.value
    this.#ranges[i] = {
      start: key.subarray(this.#prefix.length),
      end: value.subarray(DELETION_BYTES),
      deletion: value.subarray(0, DELETION_BYTES),
    }
  }

  /** Finds `deletion` for a row; rows come in the order of reading. */
  find(clustering: Buffer): Promise<void> | undefined {
    if (this.#next === null || !this.#isPassed(this.#next, clustering)) return undefined
    return this.#advance(clustering)
  }

  /** Whether a row is beyond a bound: a bound is before the row that has its bytes. */
  #isPassed(bound: Buffer, clustering: Buffer): boolean {
    const order = bound.compare(clustering)
    return this.#options.reversed ? order > 0 : order <= 0
  }

  /** Passes what is left of a slice up to its far bound, and closes what is open there. */
  end(bound: Buffer): Promise<void> | undefined {
    if (this.#next === null && this.#open === null) return undefined
    const wait = this.#endAt(bound)
    if (wait) return wait.then(() => this.#close(bound))
    this.#close(bound)
    return undefined
  }

  #close(bound: Buffer): void {
    if (this.stoppedAt !== null) return
    if (this.#open !== null) {
      this.met++
      this.#options.sink?.close(bound)
    }
    this.#open = null
  }

  /** The bound up to which all was told to a sink that is full now; null: it is not, or there is nothing more to tell. */
  get stoppedAt(): Buffer | null {
    return this.#options.sink?.isFull ? this.#last : null
  }

  get #isOver(): boolean {
    return this.#next === null || this.met > this.#options.tombstonesMax || this.stoppedAt !== null
  }

  #endAt(bound: Buffer): Promise<void> | undefined {
    while (!this.#isOver && this.#isInside(this.#next!, bound)) {
      const wait = this.#pass(this.#next!)
      if (wait) return wait.then(() => this.#endAt(bound))
    }
    return undefined
  }

  /** Whether the bound comes before the slice's far end. */
  #isInside(bound: Buffer, far: Buffer): boolean {
    const order = bound.compare(far)
    return this.#options.reversed ? order > 0 : order < 0
  }

  #advance(clustering: Buffer): Promise<void> | undefined {
    while (!this.#isOver && this.#isPassed(this.#next!, clustering)) {
      const wait = this.#pass(this.#next!)
      if (wait) return wait.then(() => this.#advance(clustering))
    }
    return undefined
  }

  /** Goes past one bound: the ranges that end there give way to those that follow. */
  #pass(bound: Buffer): Promise<void> | undefined {
    let waits: Promise<void>[] | null = null
    try {
      for (let i = 0; i < this.#ranges.length; i++) {
        const wait = this.#leave(i, bound)
        if (wait) waits = alsoWait(waits, wait)
      }
    } catch (error) {
      abandon(waits)
      throw error
    }
    if (++this.#passed % BOUNDS_PER_TURN === 0) waits = alsoWait(waits, this.#options.pause())
    if (waits) return Promise.all(waits).then(() => this.#hold(bound))
    this.#hold(bound)
    return undefined
  }

  /** Goes on to the source's first range that reaches beyond the bound. A memtable may have cut the range at hand into pieces meanwhile. */
  #leave(i: number, bound: Buffer): Promise<void> | undefined {
    const { reversed } = this.#options
    for (;;) {
      const range = this.#ranges[i]!
      if (range === null || (reversed ? range.start.compare(bound) < 0 : range.end.compare(bound) > 0)) return undefined
      const wait = reversed ? this.#cursors[i]!.previous() : this.#cursors[i]!.next()
      if (wait)
        return wait.then(() => {
          this.#read(i)
          return this.#leave(i, bound)
        })
      this.#read(i)
    }
  }

  /** What holds right after the bound, in the direction of reading, and where that may change. */
  #hold(bound: Buffer): void {
    const { reversed, covered, gcBefore } = this.#options
    let deletion: Buffer | null = null
    let next: Buffer | null = null
    for (const range of this.#ranges) {
      if (range === null) continue
      const near = reversed ? range.end : range.start
      const order = near.compare(bound)
      const holds = reversed ? order >= 0 : order <= 0
      const change = holds ? (reversed ? range.start : range.end) : near
      if (holds) deletion = greaterDeletion(deletion, range.deletion)
      if (next === null) next = change
      else {
        const later = change.compare(next)
        if (reversed ? later > 0 : later < 0) next = change
      }
    }
    this.#next = next
    this.deletion = deletion
    const counted =
      deletion !== null &&
      (covered === null || compareDeletions(deletion, 0, covered, 0) > 0) &&
      readInt32(deletion, 8) >>> 0 >= gcBefore
    const open = counted ? deletion : null
    const changes = open === null || this.#open === null ? open !== this.#open : !open.equals(this.#open)
    if (!changes) return
    this.met++
    this.#last = bound
    const { sink } = this.#options
    if (sink !== null) {
      if (this.#open !== null) sink.close(bound)
      if (open !== null) sink.open(bound, open)
    }
    this.#open = open
  }
}
