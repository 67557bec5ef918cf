/**
 * Reads that go along with a prepare: each acceptor answers with all that it has of what was asked for, deletions too, and the answers become one as
 * those of any quorum read do. What limits cut off too much of is read again by itself.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'
import type { Reads } from './coordinator.ts'
import type { PaxosReads } from './paxos-transaction.ts'
import { decodeAnswer, decodeReadRequest, encodeAnswer, encodeReadRequest } from './read-codec.ts'
import { ReadCollector } from './read-collector.ts'
import { mergeAnswers } from './read-merge.ts'
import { checkTombstones } from './read-services.ts'
import type { Replica } from './replica.ts'
import { TableIds } from './table-ids.ts'

export class QuorumReads implements PaxosReads {
  readonly #reads: Pick<Reads, 'read'>
  readonly #replica: Pick<Replica, 'resolution'>
  readonly #ids = new TableIds()

  constructor(reads: Pick<Reads, 'read'>, replica: Pick<Replica, 'resolution'>) {
    this.#reads = reads
    this.#replica = replica
  }

  encode(command: ReadCommand): Buffer | null {
    // What an index names is not all that there is.
    if (command.index !== undefined) return null
    const out = new ByteWriter(256)
    encodeReadRequest(out, wholeOf(command), false, this.#ids)
    return out.view()
  }

  merge(command: ReadCommand, answers: readonly Buffer[]): ReadResult | null {
    const results = answers.map(decodeAnswer)
    const { result, next } = mergeAnswers(
      results,
      wholeOf(command),
      this.#replica.resolution(command.table),
      uuidBytes(command.table),
    )
    const collector = new ReadCollector(command)
    collector.take(result, next)
    return collector.isFull || next === null ? collector.result(false) : null
  }

  read(command: ReadCommand, consistency: number, keyspace: string): ReadResult | Promise<ReadResult> {
    return this.#reads.read(command, consistency, keyspace)
  }
}

function wholeOf(command: ReadCommand): ReadCommand {
  return { ...command, whole: true }
}

/** What acceptors do with the reads that come with prepares. */
export class PrepareReads {
  readonly #replica: Pick<Replica, 'read'>
  readonly #ids = new TableIds()

  constructor(replica: Pick<Replica, 'read'>) {
    this.#replica = replica
  }

  /** Rejects with what went wrong. */
  async answer(request: Buffer): Promise<Buffer> {
    const { command } = decodeReadRequest(request, this.#ids)
    const reading = this.#replica.read(command)
    const result = reading instanceof Promise ? await reading : reading
    checkTombstones(command, result)
    const out = new ByteWriter(512)
    encodeAnswer(out, result, true)
    return out.view()
  }
}
