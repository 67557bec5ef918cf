/**
 * How long requests took at the coordinator, by table and by level: everything from the check of the level to the answers of the replicas; and what it took
 * to make replicas agree.
 */

import { Histogram } from '../../lib/base/histogram.ts'
import { Latency } from '../../lib/base/latency.ts'
import { uuidText } from '../../lib/base/uuid.ts'
import { TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { TableMap } from '../../storage/model/table-map.ts'

/** Of all reads of several replicas since the start. */
export interface ReadCounts {
  /** Answers of replicas differed. */
  digestMismatches: number
  /** Reads that wrote to replicas what they lacked, and partitions of which some lacked something. */
  repairs: number
  repairedPartitions: number
  /** Reads that failed because what replicas lacked could not be written there in time. */
  repairTimeouts: number
  /** Replicas that were asked because others were slow; and times when there was none to ask. */
  speculations: number
  speculationsWithoutSpare: number
  /** Replicas that were asked because others had failed. */
  failovers: number
  /** Rounds beyond a read's first. */
  extraRounds: number
}

/** Of a table that keeps concurrent versions, at this node. */
export interface SiblingCounts {
  /** Live versions of each row that readers were given, of the last minutes. */
  readonly perRead: Histogram
  rowsRead: number
  /**
   * Writes that this node led: of which it knew that they left another version beside their own, without looking for one; that were refused because there
   * would have been too many.
   */
  made: number
  refused: number
}

/** What was read of siblings counts for a third after so long. */
const AGE_SECONDS = 60

export class RequestLatencies {
  readonly #tables = new Map<string, TableLatencies>()
  /** The same, for those who know the table by what a mutation says of it. */
  readonly #byId = new TableMap<TableLatencies>()
  /** By consistency level, of partitions and of ranges; those that were never used are undefined. */
  readonly readsByLevel: (Latency | undefined)[] = []
  readonly counts: ReadCounts = {
    digestMismatches: 0,
    repairs: 0,
    repairedPartitions: 0,
    repairTimeouts: 0,
    speculations: 0,
    speculationsWithoutSpare: 0,
    failovers: 0,
    extraRounds: 0,
  }

  readsAt(level: number): Latency {
    let latency = this.readsByLevel[level]
    if (latency === undefined) {
      latency = new Latency()
      this.readsByLevel[level] = latency
    }
    return latency
  }

  of(table: string): TableLatencies {
    let latencies = this.#tables.get(table)
    if (latencies === undefined) {
      const siblings = { perRead: new Histogram(), rowsRead: 0, made: 0, refused: 0 }
      latencies = { reads: new Latency(), scans: new Latency(), writes: new Latency(), siblings }
      this.#tables.set(table, latencies)
      this.#byId.set(table, latencies)
    }
    return latencies
  }

  /** A row with so many live versions was given to a reader. */
  siblingsRead(table: string, versions: number): void {
    const { siblings } = this.of(table)
    siblings.rowsRead++
    siblings.perRead.record(versions)
  }

  /** Of the table to which a mutation belongs. */
  ofMutation(mutation: Buffer): TableLatencies {
    return this.#byId.find(mutation, 0) ?? this.of(uuidText(mutation.subarray(0, TABLE_ID_BYTES)))
  }

  /** Counts writes; gives those that shall be timed, null: none. */
  beginWrites(mutations: readonly Buffer[]): Latency[] | null {
    let timed: Latency[] | null = null
    for (let i = 0; i < mutations.length; i++) {
      const { writes } = this.ofMutation(mutations[i]!)
      if (!writes.begins()) continue
      if (timed === null) timed = [writes]
      else timed.push(writes)
    }
    return timed
  }

  /** Forgets tables that were dropped. */
  keep(isKnown: (table: string) => boolean): void {
    for (const table of this.#tables.keys()) if (!isKnown(table)) this.#tables.delete(table)
    this.#byId.keep(isKnown)
  }

  /** Called every few seconds. */
  tick(seconds: number): void {
    const kept = Math.exp(-seconds / AGE_SECONDS)
    for (const { reads, scans, writes, siblings } of this.#tables.values()) {
      siblings.perRead.age(kept)
      reads.tick(seconds)
      scans.tick(seconds)
      writes.tick(seconds)
    }
    for (const latency of this.readsByLevel) latency?.tick(seconds)
  }
}

export interface TableLatencies {
  readonly reads: Latency
  readonly scans: Latency
  readonly writes: Latency
  readonly siblings: SiblingCounts
}

export function endWrites(timed: readonly Latency[], ms: number): void {
  for (const latency of timed) latency.sampled(ms)
}
