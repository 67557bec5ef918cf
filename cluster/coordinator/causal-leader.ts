/**
 * Turns writes of vector-clock tables into versions: looks at the row, gives the write its dots, and writes what is to be joined with the row everywhere.
 * Source: Preguiça et al., Dotted Version Vectors (2012), "update" at a server; Riak's put coordinator, which is a replica of the key.
 *
 * The row is needed for two things: for the last dot that it was given here, as what lies between that one and the new one is nobody's; and for how many
 * versions there are. Both are remembered of rows that were written lately (causal/known-rows.ts), so that most puts and deletions read nothing. Rows
 * are read for what they changed before of or-set columns, what they held before the table kept versions, and whenever there may be so many versions
 * that somebody is to be told: about every 24th put of a row.
 * Always: one at a time for a partition, and no turn of the event loop lies between looking and writing unless the partition is locked. So what was read
 * or remembered tells of every dot that this run gave the row before; a delta that says less than that of its own actor could hide one.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { invalid } from '../../lib/base/errors.ts'
import { SerialLocks } from '../../lib/base/serial-locks.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { COUNTER_MAX, coversLegacy, greatestCounter, lastCounter } from '../../storage/model/causal/context.ts'
import { type CausalWrite, DeltaWriter, lacksSeen } from '../../storage/model/causal/delta.ts'
import type { Dots } from '../../storage/model/causal/dots.ts'
import type { KnownRows } from '../../storage/model/causal/known-rows.ts'
import {
  type CausalTable,
  isRefused,
  siblingLimit,
  siblingsAfter,
  siblingWarning,
} from '../../storage/model/causal/siblings.ts'
import { CausalRow } from '../../storage/model/causal/state.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { CausalVersions } from '../../storage/model/merge.ts'
import { EntryKind, MutationReader } from '../../storage/model/mutation.ts'
import { PartitionMutationWriter } from '../../storage/model/partition-mutation.ts'
import { TableMap } from '../../storage/model/table-map.ts'
import type { SiblingCounts } from './latencies.ts'
import { type LeadRead, LeadRows, leadRead } from './lead-read.ts'
import type { Leader, Led } from './led-writes.ts'
import type { Replica } from './replica.ts'
import { tableOf } from './write-plans.ts'

/** Versions of one row of which clients are warned. */
export const SIBLINGS_WARNED = 25

export interface CausalLeaderOptions {
  readonly replica: Pick<Replica, 'apply' | 'read' | 'rowAtHand' | 'knownRows'>
  /** Those of this run of this node. */
  readonly dots: Dots
  /** Of the table of a mutation. */
  table(mutation: Buffer): CausalTable
  counts(mutation: Buffer): SiblingCounts
  /** Seconds since 1970. */
  nowSeconds(): number
  /** Reads rows of all replicas that the level needs. Absent: there are no others. */
  gather?(command: ReadCommand, mutation: Buffer, consistency: number): MaybePromise<ReadResult>
}

type MaybePromise<T> = T | Promise<T>
/** Rows as they are, by their clusterings (latin1). */
type Rows = Map<string, Buffer>

/** What is being read, and how many versions had come to this node when that began. */
interface Reading {
  readonly found: MaybePromise<ReadResult>
  readonly arrivals: number
}

export class CausalLeader implements Leader {
  readonly writeType = 'SIMPLE'
  /** A node that forgets in a crash what it gave others is another actor when it returns. */
  readonly isFirst = false
  readonly #options: CausalLeaderOptions
  readonly #locks = new SerialLocks()
  readonly #reader = new MutationReader()
  readonly #writer = new PartitionMutationWriter()
  readonly #state = new CausalRow()
  readonly #deltas = new DeltaWriter()
  readonly #law = new CausalVersions()
  readonly #joined = new ByteWriter(512)
  readonly #rows = new LeadRows()
  #actor: Buffer | null = null
  #room = 0
  /** Ids as text, which is not made anew for each write. */
  readonly #tables = new TableMap<string>()

  constructor(options: CausalLeaderOptions) {
    this.#options = options
  }

  lead(mutation: Buffer): Led | Promise<Led> {
    const isFree = this.#locks.isIdle || !this.#locks.isHeld(this.#nameOf(mutation))
    return (isFree ? this.#leadAtOnce(mutation) : null) ?? this.#leadRead(mutation)
  }

  /** A write of one row that is known or at hand, as most are; null: it takes more. */
  #leadAtOnce(mutation: Buffer): Led | null {
    const { replica, gather, dots } = this.#options
    const reader = this.#reader.reset(mutation)
    if (!reader.next() || reader.kind !== EntryKind.CAUSAL_WRITE || reader.valueEnd < reader.end) return null
    const write = reader.causalWrite()
    const { context, version } = write
    checkTime(context)
    const known = this.#knownRows()
    if (known?.find(reader) && isUnread(write) && (version === null || known.room > 0)) {
      const { last, room, stands } = known
      if (stands && version !== null && (context === null || lastCounter(context, this.#deltas.actorOf(dots)) < last))
        this.#options.counts(mutation).made++
      this.#deltas.appendAfter(this.#beginOne(reader), last, write, dots)
      known.set(this.#deltas.counter, version === null ? room : room - 1, version !== null)
      return this.#writeOne(null)
    }
    const position = mutation.subarray(reader.positionStart, reader.positionEnd)
    const clustering = mutation.subarray(reader.boundStart, reader.boundEnd)
    const state = replica.rowAtHand?.(mutation, position, clustering)
    if (state === undefined) return null
    if (gather !== undefined && lacksSeen(state, write)) return null
    const warning = this.#check(mutation, state, write)
    this.#deltas.append(this.#beginOne(reader), state, write, dots)
    if (known !== undefined && this.#deltas.counter > 0) known.set(this.#deltas.counter, this.#room, version !== null)
    return this.#writeOne(warning)
  }

  /** Where the row is to be written that is made of a mutation's one entry. */
  #beginOne(reader: MutationReader): ByteWriter {
    this.#writer.beginLike(reader)
    return this.#writer.beginRowLike(reader)
  }

  #writeOne(warning: string | null): Led {
    this.#writer.endRow()
    return this.#apply(this.#finished(), warning === null ? null : [warning], true)
  }

  /** The mutation that was written. Where there are others it may have to wait for them. */
  #finished(): Buffer {
    return this.#options.gather === undefined ? this.#writer.view() : this.#writer.finish()
  }

  /** `isCounted`: what is known of the rows' room allows for what is written. */
  #apply(mutation: Buffer, warnings: readonly string[] | null, isCounted: boolean): Led {
    const { replica } = this.#options
    const { knownRows } = replica
    if (knownRows === undefined) return { mutation, durable: replica.apply([mutation]), warnings }
    knownRows.isLeading = isCounted
    try {
      return { mutation, durable: replica.apply([mutation]), warnings }
    } finally {
      knownRows.isLeading = false
    }
  }

  /** Of the row whose delta was made last, and which was checked before. `unseen`: versions that may have come to it since it was read. */
  #remember(known: KnownRows, entry: MutationReader, { version }: CausalWrite, unseen: number): void {
    // Or-set columns alone say nothing of versions.
    const { counter } = this.#deltas
    if (counter === 0) return
    known.find(entry)
    known.set(counter, this.#room - unseen, version !== null)
  }

  /** Those of the actor of now. */
  #knownRows(): KnownRows | undefined {
    const { knownRows } = this.#options.replica
    const { actor } = this.#options.dots
    if (this.#actor !== actor) {
      this.#actor = actor
      knownRows?.clear()
    }
    return knownRows
  }

  #leadRead(mutation: Buffer): Led | Promise<Led> {
    const own = Buffer.from(mutation)
    const name = this.#locks.isIdle ? '' : this.#nameOf(own)
    if (name !== '' && this.#locks.isHeld(name))
      return this.#locks.run(name, () => this.#leadLocked(own, this.#beginRead(own)))
    const reading = this.#beginRead(own)
    if (reading.found instanceof Promise)
      return this.#locks.run(this.#nameOf(own), () => this.#leadLocked(own, reading))
    const rows = rowsOf(reading.found)
    if (this.#isLacking(own, rows)) return this.#locks.run(this.#nameOf(own), () => this.#leadLocked(own, reading))
    return this.#write(own, rows, reading.arrivals)
  }

  #beginRead(mutation: Buffer): Reading {
    const { replica } = this.#options
    return { arrivals: replica.knownRows?.arrivals ?? 0, found: replica.read(this.#readOf(mutation)) }
  }

  #nameOf(mutation: Buffer): string {
    return mutation.toString('latin1', 0, this.#reader.reset(mutation).positionEnd)
  }

  async #leadLocked(mutation: Buffer, reading: Reading): Promise<Led> {
    let { arrivals } = reading
    let rows = rowsOf(await reading.found)
    for (const level of [Consistency.QUORUM, Consistency.ALL]) {
      if (!this.#isLacking(mutation, rows)) break
      const gathered = await this.#options.gather!(this.#liveReadOf(mutation), mutation, level)
      const theirs = [...rowsOf(gathered)].map(([clustering, row]) => [clustering, Buffer.from(row)] as const)
      const again = this.#beginRead(mutation)
      arrivals = again.arrivals
      rows = rowsOf(await again.found)
      for (const [clustering, row] of theirs) {
        const own = rows.get(clustering)
        rows.set(clustering, own === undefined ? row : this.#join(own, row))
      }
    }
    // What no replica has any more nobody has to remove.
    return this.#write(mutation, rows, arrivals)
  }

  /** Whether it removes what others have seen, and this node perhaps not. */
  #isLacking(mutation: Buffer, rows: Rows): boolean {
    if (this.#options.gather === undefined) return false
    const reader = this.#reader.reset(mutation)
    while (reader.next()) {
      if (reader.kind !== EntryKind.CAUSAL_WRITE) continue
      const write = reader.causalWrite()
      if (write.sets === null) continue
      const state = rows.get(mutation.toString('latin1', reader.boundStart, reader.boundEnd)) ?? null
      if (lacksSeen(state, write)) return true
    }
    return false
  }

  /** Rows without a live version, too: what they have seen goes on. */
  #readOf(mutation: Buffer): ReadCommand {
    const command = this.#liveReadOf(mutation)
    command.unsynced = true
    if (command.slices === null || command.slices.length === 1) command.dead = true
    else command.whole = true
    return command
  }

  #liveReadOf(mutation: Buffer): LeadRead {
    const reader = this.#reader.reset(mutation)
    const rows = this.#rows
    rows.clear()
    while (reader.next())
      if (reader.kind === EntryKind.CAUSAL_WRITE) rows.add(mutation, reader.boundStart, reader.boundEnd)
    return leadRead(this.#tableOf(mutation), mutation, reader, rows.slices, false, this.#options.nowSeconds())
  }

  #tableOf(mutation: Buffer): string {
    let table = this.#tables.find(mutation, 0)
    if (table === null) {
      table = tableOf(mutation)
      this.#tables.set(table, table)
    }
    return table
  }

  /** Throws, and has done nothing, when there would be too many versions. `arrivals`: when reading of the rows began. */
  #write(mutation: Buffer, rows: Rows, arrivals: number): Led {
    const known = this.#knownRows()
    const reader = this.#reader.reset(mutation)
    const writer = this.#writer
    writer.beginLike(reader)
    let warnings: string[] | null = null
    let isCounted = true
    for (let start = reader.positionEnd; reader.next(); start = reader.valueEnd) {
      if (reader.kind !== EntryKind.CAUSAL_WRITE) {
        writer.entry(mutation.subarray(start, reader.valueEnd))
        isCounted = false
        continue
      }
      const place = mutation.toString('latin1', reader.boundStart, reader.boundEnd)
      const state = rows.get(place) ?? null
      const write = reader.causalWrite()
      checkTime(write.context)
      const warning = this.#check(mutation, state, write)
      if (warning !== null) {
        warnings ??= []
        warnings.push(warning)
      }
      const out = writer.beginRowLike(reader)
      this.#deltas.append(out, state, write, this.#options.dots)
      const rowAt = writer.endRow()
      if (known !== undefined) this.#remember(known, reader, write, known.arrivals - arrivals)
      // A batch may name a row again.
      if (reader.valueEnd < reader.end) {
        const delta = Buffer.from(out.buffer.subarray(rowAt, out.length))
        rows.set(place, state === null ? delta : this.#join(state, delta))
      }
    }
    return this.#apply(this.#finished(), warnings, isCounted)
  }

  #join(state: Buffer, delta: Buffer): Buffer {
    const out = this.#joined
    out.reset()
    this.#law.merge(out, state, 0, state.length, delta, 0, delta.length)
    return out.copy()
  }

  /**
   * What the client is to be told of so many versions; null: nothing. Throws when there would be too many. Afterwards `#room` is how many more there may
   * come to be before somebody is told.
   */
  #check(mutation: Buffer, state: Buffer | null, write: CausalWrite): string | null {
    const table = this.#options.table(mutation)
    let before = 0
    let after = write.version === null ? 0 : 1
    if (state !== null) {
      const row = this.#state.reset(state, this.#options.nowSeconds())
      before = row.count()
      after = siblingsAfter(row, before, write)
    }
    this.#room = Math.min(SIBLINGS_WARNED - 1, table.maxSiblings) - after
    if (write.version === null || after === 1) return null
    const counts = this.#options.counts(mutation)
    if (isRefused(table, before, after)) {
      counts.refused++
      throw siblingLimit(table, before)
    }
    counts.made++
    return after < SIBLINGS_WARNED ? null : siblingWarning(table, after)
  }
}

/** Whether the write needs nothing of its row but what is known of it. */
function isUnread({ context, sets }: CausalWrite): boolean {
  return sets === null && (context === null || !coversLegacy(context))
}

/** Throws when the context cannot be one. */
function checkTime(context: Buffer | null): void {
  if (context !== null && greatestCounter(context) > COUNTER_MAX)
    throw invalid('Invalid vclock: it is of no time there is')
}

function rowsOf({ partitions }: ReadResult): Rows {
  const rows: Rows = new Map()
  for (const { rows: those } of partitions)
    for (const { clustering, row } of those) rows.set(clustering.toString('latin1'), row)
  return rows
}
