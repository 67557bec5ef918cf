/**
 * This node as an acceptor of the log: one instance at a time, that of the entry after the last one it has. It takes part in an entry only when it
 * has all before it on disk, so a majority that decides an entry holds all earlier ones, and an instance that is over may be forgotten.
 * Always: what a reply promises is on disk before the reply leaves; after a write failed there are no replies any more.
 */
import { assert } from '../../lib/base/assert.ts'
import type { Ballot } from '../paxos/ballot.ts'
import {
  type AcceptorState,
  emptyAcceptor,
  type PrepareReply,
  type Proposal,
  type ProposeReply,
  prepare,
  propose,
  type Transition,
} from '../paxos/core.ts'

/** As it is on disk; a record with a greater sequence replaces the others. */
export interface AcceptorRecord {
  readonly sequence: number
  readonly epoch: number
  readonly promised: Ballot | null
  readonly accepted: Proposal<string> | null
}

export class LogAcceptor {
  readonly #save: (record: AcceptorRecord) => Promise<void>
  #sequence: number
  #epoch: number
  #state: AcceptorState<string>
  #failed = false

  /** `save` resolves when the record is durable. */
  constructor(record: AcceptorRecord | null, save: (record: AcceptorRecord) => Promise<void>) {
    this.#save = save
    this.#sequence = record?.sequence ?? 0
    this.#epoch = record?.epoch ?? 0
    this.#state = record
      ? { promised: record.promised, accepted: record.accepted, committed: null }
      : emptyAcceptor<string>()
  }

  prepare(epoch: number, ballot: Ballot): Promise<PrepareReply<string>> {
    return this.#perform(prepare(this.#at(epoch), ballot))
  }

  propose(epoch: number, proposal: Proposal<string>): Promise<ProposeReply> {
    return this.#perform(propose(this.#at(epoch), proposal))
  }

  /** What was accepted for the entry: it may have been decided. */
  accepted(epoch: number): Proposal<string> | null {
    return epoch === this.#epoch ? this.#state.accepted : null
  }

  /** The instance's state; those before it are over. */
  #at(epoch: number): AcceptorState<string> {
    assert(epoch >= this.#epoch, 'an instance that is over takes no more part')
    if (epoch > this.#epoch) {
      this.#epoch = epoch
      this.#state = emptyAcceptor()
    }
    return this.#state
  }

  async #perform<R>({ state, write, reply }: Transition<string, R>): Promise<R> {
    if (this.#failed) throw new Error('the metadata log could not be written')
    this.#state = state
    if (write === null) return reply
    this.#sequence += 1
    const { promised, accepted } = state
    try {
      // Two may be on their way: each holds what the one before it says.
      await this.#save({ sequence: this.#sequence, epoch: this.#epoch, promised, accepted })
    } catch (cause) {
      this.#failed = true
      throw cause
    }
    return reply
  }
}
