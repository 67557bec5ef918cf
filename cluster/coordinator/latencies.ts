/** How long requests took at the coordinator, by table: everything from the check of the level to the answers of the replicas. */

import { Latency } from '../../lib/base/latency.ts'
import { uuidText } from '../../lib/base/uuid.ts'
import { readInt32 } from '../../storage/model/row.ts'

const TABLE_ID_BYTES = 16

export class RequestLatencies {
  readonly #tables = new Map<string, TableLatencies>()
  /** By the first four bytes of their ids, as mutations name them: the finest part of the time in which the id was made. */
  readonly #byPrefix = new Map<number, TableLatencies>()

  of(table: string): TableLatencies {
    let latencies = this.#tables.get(table)
    if (latencies === undefined) {
      latencies = { reads: new Latency(), scans: new Latency(), writes: new Latency() }
      this.#tables.set(table, latencies)
    }
    return latencies
  }

  /** Of the table to which a mutation belongs. */
  ofMutation(mutation: Buffer): TableLatencies {
    const prefix = readInt32(mutation, 0)
    let latencies = this.#byPrefix.get(prefix)
    if (latencies === undefined) {
      latencies = this.of(uuidText(mutation.subarray(0, TABLE_ID_BYTES)))
      this.#byPrefix.set(prefix, latencies)
    }
    return latencies
  }

  /** Forgets tables that were dropped. */
  keep(isKnown: (table: string) => boolean): void {
    for (const [table, latencies] of this.#tables) {
      if (isKnown(table)) continue
      this.#tables.delete(table)
      for (const [prefix, those] of this.#byPrefix) if (those === latencies) this.#byPrefix.delete(prefix)
    }
  }

  /** Called every few seconds. */
  tick(seconds: number): void {
    for (const { reads, scans, writes } of this.#tables.values()) {
      reads.tick(seconds)
      scans.tick(seconds)
      writes.tick(seconds)
    }
  }
}

export interface TableLatencies {
  readonly reads: Latency
  readonly scans: Latency
  readonly writes: Latency
}
