/**
 * Puts the answers to parts of a command together until its limits are reached: rounds over one partition, ranges one after another.
 * Always: what comes out is what one replica with all the data would have answered: live rows alone (whoever asked for a whole read gets dead ones,
 * too), counted against the same limits; `more` says that a limit ended it.
 */
import type { PartitionData, ReadCommand, ReadPoint, ReadResult, RowData } from '../../storage/model/command.ts'
import { RowReader, rowIsLive } from '../../storage/model/row.ts'

interface Gathered {
  position: Buffer
  key: Buffer
  staticRow: Buffer | null
  rows: RowData[]
}

export class ReadCollector {
  readonly #command: ReadCommand
  readonly #reader = new RowReader()
  readonly partitions: Gathered[] = []
  rows = 0
  bytes = 0
  tombstones = 0
  /** Where the command goes on, null: it is answered; what it came with until something was taken. */
  after: ReadPoint | null

  constructor(command: ReadCommand) {
    this.#command = command
    this.after = command.after
  }

  get isFull(): boolean {
    return this.rows >= this.#command.limit || this.bytes >= this.#command.byteLimit
  }

  /** For what is asked meanwhile of parts that come later: the same limits, from their beginnings. */
  beyond(): ReadCollector {
    const later = new ReadCollector({ ...this.#command, after: null })
    later.rows = this.rows
    later.bytes = this.bytes
    return later
  }

  result(more: boolean): ReadResult {
    return { partitions: this.partitions, more: more || this.isFull, tombstones: this.tombstones }
  }

  /** `next`: where what was asked goes on after the answer. What lies beyond the limits is left. */
  take({ partitions, tombstones }: ReadResult, next: ReadPoint | null): void {
    if (tombstones > this.tombstones) this.tombstones = tombstones
    for (let i = 0; i < partitions.length && !this.isFull; i++) this.#partition(partitions[i]!, next)
    this.after = next === null ? null : this.#beyondFull(next)
  }

  /** A partition that has given all that it may is done, also where replicas were asked for more of it. */
  #beyondFull(next: ReadPoint): ReadPoint | null {
    const { perPartitionLimit, target } = this.#command
    if (next.partitionDone || next.rowsGiven < perPartitionLimit) return next
    if (target.kind === 'partition') return null
    return { position: next.position, clustering: null, partitionDone: true, rowsGiven: 0 }
  }

  #partition(partition: PartitionData, next: ReadPoint | null): void {
    const { limit, perPartitionLimit, wantStatic, staticCounts } = this.#command
    const { position, key } = partition
    const { after } = this
    const isContinued = after !== null && !after.partitionDone && after.position.equals(position)
    const given = isContinued ? after.rowsGiven : 0
    const rows = this.#live(partition.rows, Math.min(perPartitionLimit - given, limit - this.rows))
    const staticRow = wantStatic && this.#isLiveStatic(partition) ? partition.staticRow : null
    const last = this.partitions.at(-1)
    const known = last?.position.equals(position) ? last : null
    if (rows.length === 0) {
      // Whether a partition has but its static row is known when all of it was read.
      const isUnfinished = next !== null && !next.partitionDone && next.position.equals(position)
      if (staticRow === null || given > 0 || isUnfinished || known !== null) return
      if (staticCounts) this.rows++
    }
    this.rows += rows.length
    this.bytes += known === null ? (staticRow?.length ?? 0) : 0
    for (let i = 0; i < rows.length; i++) this.bytes += rows[i]!.bytes
    if (known === null) this.partitions.push({ position, key, staticRow, rows })
    else known.rows = known.rows.concat(rows)
  }

  /** At most so many of the live rows. */
  #live(rows: RowData[], most: number): RowData[] {
    if (this.#command.whole) return rows
    let dead = 0
    for (let i = 0; i < rows.length; i++) if (rows[i]!.isDead) dead++
    const live = dead === 0 ? rows : rows.filter(({ isDead }) => !isDead)
    return live.length > most ? live.slice(0, Math.max(0, most)) : live
  }

  #isLiveStatic({ staticRow, cut }: PartitionData): boolean {
    if (staticRow === null) return false
    // Only a whole answer tells where it was cut, and has static rows that are dead.
    return cut === undefined || rowIsLive(this.#reader.reset(staticRow), this.#command.nowSeconds)
  }
}
