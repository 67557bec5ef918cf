/**
 * Turns counters' deltas into shards: reads this node's shard of each counter, adds the delta, and writes the shard anew with a later clock.
 * Source: Cassandra's CounterMutation. One at a time for a partition; nobody but this node ever writes its shards.
 * Always: a shard that others may get to see is durable here, so that what this node counts next goes on from it.
 */
import { assert } from '../../lib/base/assert.ts'
import { SerialLocks } from '../../lib/base/serial-locks.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import { COUNT_BYTES } from '../../storage/model/counter.ts'
import { EntryKind, MutationReader, MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import { LeadRows, leadRead } from './lead-read.ts'
import type { Leader, Led } from './led-writes.ts'
import type { Replica } from './replica.ts'
import { tableOf } from './write-plans.ts'

export interface CounterLeaderOptions {
  readonly replica: Pick<Replica, 'apply' | 'read'>
  /** This node's id: 16 bytes. A node that lost its disk has another. */
  readonly shard: Buffer
  /** µs, greater each time. */
  timestampMicros(): number
  /** Seconds since 1970. */
  nowSeconds(): number
}

/** State of this node's shard of one counter. */
interface Shard {
  clock: bigint
  count: bigint
}

const STATIC = 's'

export class CounterLeader implements Leader {
  readonly writeType = 'COUNTER'
  /** What it counts next goes on from its shard: a shard that others may get to see is durable here. */
  readonly isFirst = true
  readonly #options: CounterLeaderOptions
  readonly #locks = new SerialLocks()
  readonly #mutation = new MutationReader()
  readonly #row = new RowReader()
  readonly #writer = new MutationWriter()

  constructor(options: CounterLeaderOptions) {
    assert(options.shard.length === 16, 'the id of a shard is that of a node')
    this.#options = options
  }

  /** Applies a mutation of one partition here. Its bytes are copied before the call returns. */
  async lead(mutation: Buffer): Promise<Led> {
    const own = Buffer.from(mutation)
    const { positionEnd } = this.#mutation.reset(own)
    return await this.#locks.run(own.toString('latin1', 0, positionEnd), async () => {
      const command = this.#readOf(own)
      const shards = new Map<string, Shard>()
      if (command !== null) this.#find(await this.#options.replica.read(command), shards)
      // No turn of the event loop lies between the writing and the applying of the shards.
      const counted = command === null ? own : this.#sharded(own, shards)
      return { mutation: counted, durable: this.#options.replica.apply([counted]), warnings: null }
    })
  }

  /** The rows whose counters a mutation changes; null: none. */
  #readOf(mutation: Buffer): ReadCommand | null {
    const reader = this.#mutation.reset(mutation)
    const rows = new LeadRows()
    let wantStatic = false
    while (reader.next()) {
      if (reader.kind !== EntryKind.ROW && reader.kind !== EntryKind.STATIC_ROW) continue
      if (!this.#hasDelta(mutation, reader)) continue
      if (reader.kind === EntryKind.STATIC_ROW) wantStatic = true
      else rows.add(mutation, reader.boundStart, reader.boundEnd)
    }
    if (rows.isEmpty && !wantStatic) return null
    return {
      ...leadRead(tableOf(mutation), mutation, reader, rows.slices, wantStatic, this.#options.nowSeconds()),
      unsynced: true,
    }
  }

  #hasDelta(mutation: Buffer, { valueStart, valueEnd }: MutationReader): boolean {
    const row = this.#row.reset(mutation, valueStart, valueEnd)
    while (row.next()) if (isDelta(row)) return true
    return false
  }

  #find({ partitions }: ReadResult, shards: Map<string, Shard>): void {
    for (const { staticRow, rows } of partitions) {
      if (staticRow !== null) this.#findIn(STATIC, staticRow, shards)
      for (const { clustering, row } of rows) this.#findIn(`r${clustering.toString('latin1')}`, row, shards)
    }
  }

  #findIn(place: string, row: Buffer, shards: Map<string, Shard>): void {
    const { shard } = this.#options
    const reader = this.#row.reset(row)
    while (reader.next()) {
      if (reader.pathEnd - reader.pathStart !== shard.length || !reader.isLive(0)) continue
      if (shard.compare(row, reader.pathStart, reader.pathEnd) !== 0) continue
      const count = row.readBigInt64BE(reader.valueStart)
      shards.set(`${reader.columnId}/${place}`, { clock: timestampOf(reader), count })
    }
  }

  #sharded(mutation: Buffer, shards: Map<string, Shard>): Buffer {
    const reader = this.#mutation.reset(mutation)
    const { positionStart, positionEnd } = reader
    const writer = this.#writer
    const key = mutation.subarray(positionStart + 10, positionEnd)
    const tokenHigh = mutation.readInt32BE(positionStart) ^ 0x80000000
    writer.begin(mutation.subarray(0, positionStart), tokenHigh, mutation.readInt32BE(positionStart + 4), key)
    while (reader.next())
      if (reader.kind === EntryKind.ROW) {
        writer.beginRow(mutation.subarray(reader.boundStart, reader.boundEnd))
        const place = `r${mutation.toString('latin1', reader.boundStart, reader.boundEnd)}`
        this.#copyRow(mutation, reader, place, shards)
      } else if (reader.kind === EntryKind.STATIC_ROW) {
        writer.beginStaticRow()
        this.#copyRow(mutation, reader, STATIC, shards)
      } else writer.copyEntry(reader)
    return Buffer.from(writer.finish())
  }

  #copyRow(
    mutation: Buffer,
    { valueStart, valueEnd }: MutationReader,
    place: string,
    shards: Map<string, Shard>,
  ): void {
    const writer = this.#writer
    const row = this.#row.reset(mutation, valueStart, valueEnd)
    writer.row.copyHead(row)
    while (row.next()) {
      if (!isDelta(row)) {
        writer.row.copyCell(row)
        continue
      }
      const name = `${row.columnId}/${place}`
      const now = BigInt(this.#options.timestampMicros())
      const before = shards.get(name) ?? { clock: now - 1n, count: 0n }
      const clock = before.clock < now ? now : before.clock + 1n
      const count = BigInt.asIntN(64, before.count + mutation.readBigInt64BE(row.valueStart))
      shards.set(name, { clock, count })
      const value = Buffer.allocUnsafe(COUNT_BYTES)
      value.writeBigInt64BE(count)
      const low = Number(BigInt.asIntN(32, clock))
      writer.row.pathCell(row.columnId, this.#options.shard, Number(clock >> 32n), low, value)
    }
    writer.endRow()
  }
}

function isDelta(row: RowReader): boolean {
  return row.hasPath && row.pathStart === row.pathEnd && row.valueEnd - row.valueStart === COUNT_BYTES
}

function timestampOf({ tsHigh, tsLow }: RowReader): bigint {
  return (BigInt(tsHigh) << 32n) | BigInt(tsLow >>> 0)
}
