/** Bugs that are planted into lightweight transactions, to see that they are found: broken acceptors, a broken memory of what they promised. */
import type { CoordinatorEnvironment } from '../../cluster/coordinator/environment.ts'
import { PaxosAcceptor, type PaxosAcceptorOptions } from '../../cluster/coordinator/paxos-acceptor.ts'
import type {
  PeekAnswer,
  PrepareAnswer,
  PrepareMessage,
  ProposeMessage,
} from '../../cluster/coordinator/paxos-messages.ts'
import { PaxosStore, type RegisterState } from '../../cluster/coordinator/paxos-state.ts'
import { type Ballot, encodeBallot } from '../../cluster/paxos/ballot.ts'
import type { ProposeReply } from '../../cluster/paxos/core.ts'
import type { Register } from '../../cluster/paxos/register.ts'
import { PAXOS_TABLE } from './paxos-storage.ts'

/** What is broken on purpose. Those that are not here are in the storage and the world. */
export type PaxosPlant =
  | 'promise not persisted'
  | 'accepted not persisted'
  | 'in progress ignored'
  | 'ballot promised twice'
  | 'commit lost'
  | 'proposal without what was decided before it'
  | 'origin lost when proposed again'
  | 'read at one replica'
  | 'reads ignore what is in progress'
  | 'forgotten without a floor'
  | 'unfinished forgotten'

/** Forgets more than it may. */
export class PlantedStore extends PaxosStore {
  readonly #plant: PaxosPlant | null

  constructor(replica: CoordinatorEnvironment['replica'], plant: PaxosPlant | null) {
    super(replica, PAXOS_TABLE)
    this.#plant = plant
  }

  override async load(register: Register): Promise<RegisterState> {
    const state = await super.load(register)
    const isFloor = state.promised?.node.startsWith('ffff') === true
    return this.#plant === 'forgotten without a floor' && isFloor ? { ...state, promised: null } : state
  }
}

/** Broken acceptors. */
export class PlantedAcceptor extends PaxosAcceptor {
  readonly #plant: PaxosPlant | null

  constructor(options: PaxosAcceptorOptions, plant: PaxosPlant | null) {
    super(options)
    this.#plant = plant
  }

  override async prepare(message: PrepareMessage): Promise<PrepareAnswer> {
    const answer = await super.prepare(message)
    if (answer.kind === 'refused') {
      if (this.#plant !== 'ballot promised twice' || answer.by.micros !== message.ballot.micros) return answer
      return { kind: 'promised', accepted: null, committed: null, read: null }
    }
    return this.#plant === 'in progress ignored' ? { ...answer, accepted: null } : answer
  }

  override async peek(register: Register, request: Buffer): Promise<PeekAnswer> {
    const answer = await super.peek(register, request)
    return this.#plant === 'reads ignore what is in progress' ? { ...answer, accepted: null } : answer
  }

  override async isSettled(register: Register, ballot: Ballot): Promise<boolean> {
    return this.#plant === 'unfinished forgotten' || (await super.isSettled(register, ballot))
  }

  override async forget(register: Register, ballot: Ballot): Promise<void> {
    if (this.#plant === 'unfinished forgotten') await this.drop(register, { ...ballot, micros: ballot.micros * 2 })
    else await super.forget(register, ballot)
  }

  override async propose(message: ProposeMessage): Promise<ProposeReply> {
    const isBare = this.#plant === 'proposal without what was decided before it'
    const { proposal } = message
    if (this.#plant === 'origin lost when proposed again') encodeBallot(proposal.ballot).copy(proposal.value)
    return await super.propose({ ...message, commit: isBare ? null : message.commit })
  }
}
