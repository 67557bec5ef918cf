/**
 * One table as the list of all that was ever written to it, and what Cassandra's rules say a reader sees of that: slow, obvious, the judge of the
 * store. Nothing is ever merged; each read goes through the versions anew, with none of the store's code.
 *
 * What has been written stays true for ever but for one thing: a tombstone that is older than gc_grace may be purged, and a write that comes
 * after that with a smaller timestamp is not covered by it. Exactly:
 * - What is there when a deletion arrives and is not newer than it is never seen again, whatever is purged.
 * - A version that arrives later with a timestamp that something covers is hidden for good if the greatest of what covers it cannot have been
 *   purged yet (it is no tombstone, or gc_grace has not passed by the last time at which a compaction may have run): 'hidden'.
 * - Else both are right ('open'), until a reader sees one of them: from then on it is that one ('counts' or 'hidden').
 */

/** Whether a version that arrived under something greater is seen. */
type Fate = 'counts' | 'hidden' | 'open'

export interface Version {
  /** Of the write that brought it: the order of arrival. */
  readonly sequence: number
  readonly ts: number
  readonly kind: 'live' | 'expiring' | 'tombstone'
  /** When it expires, or when the tombstone was made. */
  readonly localTime: number
  readonly ttl: number
  readonly value: string
  fate: Fate
}

export interface Deletion {
  readonly sequence: number
  readonly ts: number
  readonly localTime: number
}

interface RangeDeletion extends Deletion {
  readonly start: string
  readonly end: string
}

/** A cell's place: simple columns have the path null. */
export interface Slot {
  readonly column: number
  readonly path: string | null
  readonly versions: Version[]
}

export interface ColumnHistory {
  readonly complexDeletions: Deletion[]
}

export class RowHistory {
  readonly clustering: string
  readonly liveness: Version[] = []
  readonly deletions: Deletion[] = []
  /** By column, then by path. */
  readonly slots: Slot[] = []
  readonly complexDeletions = new Map<number, Deletion[]>()

  constructor(clustering: string) {
    this.clustering = clustering
  }

  clone(): RowHistory {
    const made = new RowHistory(this.clustering)
    made.liveness.push(...this.liveness.map((version) => ({ ...version })))
    made.deletions.push(...this.deletions)
    for (const { column, path, versions } of this.slots)
      made.slots.push({ column, path, versions: versions.map((version) => ({ ...version })) })
    for (const [column, list] of this.complexDeletions) made.complexDeletions.set(column, [...list])
    return made
  }

  slot(column: number, path: string | null): Slot {
    let at = 0
    for (; at < this.slots.length; at++) {
      const slot = this.slots[at]!
      if (slot.column === column && slot.path === path) return slot
      if (slot.column > column || (slot.column === column && slot.path! > path!)) break
    }
    const made: Slot = { column, path, versions: [] }
    this.slots.splice(at, 0, made)
    return made
  }
}

export class PartitionHistory {
  readonly deletions: Deletion[] = []
  readonly ranges: RangeDeletion[] = []
  readonly staticRow: RowHistory
  /** Ascending by clustering. */
  readonly rows: RowHistory[] = []

  constructor(staticRow = new RowHistory('')) {
    this.staticRow = staticRow
  }

  clone(): PartitionHistory {
    const made = new PartitionHistory(this.staticRow.clone())
    made.deletions.push(...this.deletions)
    made.ranges.push(...this.ranges)
    made.rows.push(...this.rows.map((row) => row.clone()))
    return made
  }

  row(clustering: string): RowHistory {
    let at = 0
    for (; at < this.rows.length; at++) {
      const row = this.rows[at]!
      if (row.clustering === clustering) return row
      if (row.clustering > clustering) break
    }
    const made = new RowHistory(clustering)
    this.rows.splice(at, 0, made)
    return made
  }

  /** Deletions of more than a cell that cover the row. */
  covers(row: RowHistory): Deletion[] {
    const found = [...this.deletions]
    if (row === this.staticRow) return found
    for (const range of this.ranges) if (range.start <= row.clustering && row.clustering < range.end) found.push(range)
    found.push(...row.deletions)
    return found
  }
}

export type WrittenCell =
  | {
      readonly kind: 'live' | 'expiring' | 'tombstone'
      readonly column: number
      readonly path: string | null
      readonly ts: number
      readonly localTime: number
      readonly ttl: number
      readonly value: string
    }
  | { readonly kind: 'complex'; readonly column: number; readonly ts: number; readonly localTime: number }

export type Written =
  | { readonly kind: 'partition'; readonly ts: number; readonly localTime: number }
  | {
      readonly kind: 'range'
      readonly start: string
      readonly end: string
      readonly ts: number
      readonly localTime: number
    }
  | {
      readonly kind: 'row'
      readonly clustering: string | null
      readonly liveness: { readonly ts: number; readonly ttl: number; readonly expiresAt: number } | null
      readonly deletion: { readonly ts: number; readonly localTime: number } | null
      readonly cells: readonly WrittenCell[]
    }

export class Judge {
  readonly #partitions = new Map<number, PartitionHistory>()
  /** Writes up to this one count; those after it are judged not to have happened. For what a crash may have taken. */
  upTo = Number.POSITIVE_INFINITY
  /** The last time, in seconds, at which a compaction may have looked at the table, and before when what it purged had been made. */
  #purgedAt = Number.NEGATIVE_INFINITY
  #gcBefore = Number.NEGATIVE_INFINITY

  /** A compaction may run at that time, and purge. */
  mayPurge(nowSeconds: number, gcGraceSeconds: number): void {
    this.#purgedAt = Math.max(this.#purgedAt, nowSeconds)
    this.#gcBefore = Math.max(this.#gcBefore, nowSeconds - gcGraceSeconds)
  }

  partition(index: number): PartitionHistory | null {
    return this.#partitions.get(index) ?? null
  }

  clear(): void {
    this.#partitions.clear()
  }

  /** What was written so far, as a snapshot has it. */
  snapshot(): ReadonlyMap<number, PartitionHistory> {
    return new Map([...this.#partitions].map(([index, partition]) => [index, partition.clone()]))
  }

  /** All there is now is what the snapshot has. */
  restore(snapshot: ReadonlyMap<number, PartitionHistory>): void {
    this.#partitions.clear()
    for (const [index, partition] of snapshot) this.#partitions.set(index, partition.clone())
  }

  write(index: number, sequence: number, changes: readonly Written[]): void {
    let partition = this.#partitions.get(index)
    if (!partition) {
      partition = new PartitionHistory()
      this.#partitions.set(index, partition)
    }
    for (const change of changes) {
      const { kind } = change
      if (kind === 'partition') partition.deletions.push({ ...change, sequence })
      else if (kind === 'range') {
        if (change.start < change.end) partition.ranges.push({ ...change, sequence })
      } else this.#writeRow(partition, sequence, change)
    }
  }

  #writeRow(partition: PartitionHistory, sequence: number, change: Extract<Written, { kind: 'row' }>): void {
    const row = change.clustering === null ? partition.staticRow : partition.row(change.clustering)
    const covers = partition.covers(row)
    const { liveness, deletion } = change
    if (liveness) {
      const { ts, ttl, expiresAt } = liveness
      const kind = ttl > 0 ? 'expiring' : 'live'
      const version = { sequence, ts, kind, localTime: expiresAt, ttl, value: '' } as const
      row.liveness.push({ ...version, fate: this.#fate(version, row.liveness, covers) })
    }
    for (const cell of change.cells) {
      if (cell.kind === 'complex') {
        const list = row.complexDeletions.get(cell.column)
        if (list) list.push({ ...cell, sequence })
        else row.complexDeletions.set(cell.column, [{ ...cell, sequence }])
        continue
      }
      const { versions } = row.slot(cell.column, cell.path)
      const complex = row.complexDeletions.get(cell.column)
      const version = { ...cell, sequence }
      versions.push({ ...version, fate: this.#fate(version, versions, complex ? [...covers, ...complex] : covers) })
    }
    if (deletion) row.deletions.push({ ...deletion, sequence })
  }

  /** What becomes of a version that arrives now, by what was there before. */
  #fate(version: Omit<Version, 'fate'>, others: readonly Version[], covers: readonly Deletion[]): Fate {
    let top = Number.NEGATIVE_INFINITY
    let mayBeGone = false
    for (const { ts, localTime, sequence } of covers) {
      if (ts < version.ts || ts < top || sequence === version.sequence) continue
      const gone = this.#mayBePurged(localTime)
      // Of equal timestamps the one may have taken the other in.
      mayBeGone = ts === top ? mayBeGone || gone : gone
      top = ts
    }
    let strongest: Version | null = null
    for (const other of others)
      if (other.sequence !== version.sequence && other.ts > top && isStronger(other, version))
        if (strongest === null || isStronger(other, strongest)) strongest = other
    if (strongest !== null) return this.#mayVersionBePurged(strongest) ? 'open' : 'hidden'
    if (top === Number.NEGATIVE_INFINITY) return 'counts'
    return mayBeGone ? 'open' : 'hidden'
  }

  #mayBePurged(localTime: number): boolean {
    return localTime < this.#gcBefore
  }

  #mayVersionBePurged({ kind, localTime, ttl }: Version): boolean {
    if (kind === 'live') return false
    if (kind === 'tombstone') return this.#mayBePurged(localTime)
    // An expired cell is a tombstone that was made when it was written.
    return localTime <= this.#purgedAt && this.#mayBePurged(localTime - ttl)
  }

  /** Writes after `sequence` never happened. */
  forgetAfter(sequence: number): void {
    const keep = <T extends { readonly sequence: number }>(list: T[]): void => {
      let kept = 0
      for (const one of list) if (one.sequence <= sequence) list[kept++] = one
      list.length = kept
    }
    const keepRow = (row: RowHistory): void => {
      keep(row.liveness)
      keep(row.deletions)
      for (const { versions } of row.slots) keep(versions)
      for (const list of row.complexDeletions.values()) keep(list)
    }
    for (const partition of this.#partitions.values()) {
      keep(partition.deletions)
      keep(partition.ranges)
      keepRow(partition.staticRow)
      for (const row of partition.rows) keepRow(row)
    }
  }

  /**
   * What a reader may see of one place: candidates, strongest first. The last one is sure unless its fate is open, in which case nothing at all may
   * be seen too; those before it are open.
   */
  candidates(versions: readonly Version[], covers: readonly Deletion[], nowSeconds: number): readonly Version[] {
    const found: Version[] = []
    for (let i = 0; i < versions.length; i++) {
      const version = versions[i]!
      const { sequence, ts, kind, fate } = version
      if (fate === 'hidden' || sequence > this.upTo) continue
      if (kind === 'tombstone' || (kind === 'expiring' && version.localTime <= nowSeconds)) continue
      if (this.#isCovered(ts, sequence, covers)) continue
      if (!this.#isBeaten(version, versions)) found.push(version)
    }
    if (found.length < 2) return found
    found.sort((a, b) => (isStronger(a, b) ? -1 : 1))
    const sure = found.findIndex(({ fate }) => fate === 'counts')
    return sure < 0 ? found : found.slice(0, sure + 1)
  }

  /** By a deletion that came at the same time or later; what came before settled the version's fate. */
  #isCovered(ts: number, sequence: number, covers: readonly Deletion[]): boolean {
    for (let i = 0; i < covers.length; i++) {
      const cover = covers[i]!
      if (cover.ts >= ts && cover.sequence >= sequence && cover.sequence <= this.upTo) return true
    }
    return false
  }

  #isBeaten(version: Version, versions: readonly Version[]): boolean {
    for (let i = versions.length - 1; i >= 0; i--) {
      const other = versions[i]!
      if (other.sequence < version.sequence) return false
      if (other !== version && other.sequence <= this.upTo && isStronger(other, version)) return true
    }
    return false
  }
}

const RANK = { tombstone: 2, expiring: 1, live: 0 }

/** Which of two versions of a cell, or of two livenesses, is kept. */
function isStronger(a: Omit<Version, 'fate'>, b: Omit<Version, 'fate'>): boolean {
  if (a.ts !== b.ts) return a.ts > b.ts
  if (a.kind !== b.kind) return RANK[a.kind] > RANK[b.kind]
  if (a.kind !== 'live' && a.localTime !== b.localTime) return a.localTime > b.localTime
  if (a.value !== b.value) return a.value > b.value
  return a.ttl < b.ttl
}
