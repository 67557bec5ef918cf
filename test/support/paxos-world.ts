/**
 * Random runs of the Paxos core: three or five acceptors, some proposers, a bag of messages from which any may come next, twice or never.
 * An acceptor has a memory and a disk; a crash leaves the disk. A proposer that crashes forgets its attempt, and its clock may go back.
 */
import { type Ballot, BallotSource, compareBallots } from '../../cluster/paxos/ballot.ts'
import {
  type AcceptorState,
  Attempt,
  commit,
  emptyAcceptor,
  majorityOf,
  type PrepareReply,
  type Proposal,
  type ProposeReply,
  prepare,
  propose,
  type Transition,
} from '../../cluster/paxos/core.ts'
import { createDice, type Dice } from './random.ts'

export type Bug =
  | 'promise not persisted'
  | 'accepted not persisted'
  | 'ballot reused'
  | 'highest accepted ignored'
  | 'first accepted taken'
  | 'duplicates counted'
  | 'quorum too small'
  | 'commit clears what is above it'

export interface Finding {
  readonly violation: string | null
  readonly decided: number
}

/** Names of what was written, in order. */
type Value = readonly string[]

type Message = {
  readonly proposer: Proposer
  readonly attempt: Attempt<Value>
  readonly acceptor: string
  readonly body:
    | { readonly kind: 'prepare' }
    | { readonly kind: 'propose' | 'commit'; readonly proposal: Proposal<Value> }
    | { readonly kind: 'promise'; readonly reply: PrepareReply<Value> }
    | { readonly kind: 'accept'; readonly reply: ProposeReply }
}

interface Acceptor {
  memory: AcceptorState<Value>
  disk: AcceptorState<Value>
}

interface Proposer {
  readonly node: string
  source: BallotSource
  attempt: Attempt<Value> | null
  /** The name of what this attempt is to add, if it still is of its own. */
  own: string | null
  heardOf: Ballot | null
  /** Of its latest attempt. */
  last: Ballot | null
  replies: [string, PrepareReply<Value>][]
}

/** One entry of a log: every proposer wants its own value in it. */
export function checkLog(seed: number, bug: Bug | null): Finding {
  return new World(createDice(seed), bug, false).run()
}

/** A register: every proposer adds to what it finds, again and again. */
export function checkRegister(seed: number, bug: Bug | null): Finding {
  return new World(createDice(seed), bug, true).run()
}

class World {
  readonly #dice: Dice
  readonly #bug: Bug | null
  readonly #isRegister: boolean
  readonly #acceptors = new Map<string, Acceptor>()
  readonly #proposers: Proposer[] = []
  #messages: Message[] = []
  /** By ballot and value: who accepted it. */
  readonly #acceptances = new Map<string, Set<string>>()
  readonly #decided = new Map<string, Value>()
  readonly #never = new Set<string>()
  readonly #proposals = new Map<Attempt<Value>, Proposal<Value>>()
  readonly #loss: number
  readonly #crashes: number
  #names = 0
  #violation: string | null = null

  constructor(dice: Dice, bug: Bug | null, isRegister: boolean) {
    this.#dice = dice
    this.#bug = bug
    this.#isRegister = isRegister
    this.#loss = dice.pick([0, 0.05, 0.2])
    this.#crashes = dice.pick([0, 0.03, 0.08])
    for (let i = 0; i < dice.pick([1, 3, 3, 5]); i++)
      this.#acceptors.set(`acceptor ${i}`, { memory: emptyAcceptor(), disk: emptyAcceptor() })
    for (let i = 0; i < 2 + dice.int(3); i++) {
      const node = `00000000-0000-4000-8000-00000000000${i}`
      this.#proposers.push({
        node,
        source: this.#newSource(node),
        attempt: null,
        own: null,
        heardOf: null,
        last: null,
        replies: [],
      })
    }
  }

  run(): Finding {
    const steps = 60 + this.#dice.int(this.#isRegister ? 400 : 200)
    for (let step = 0; step < steps && this.#violation === null; step++) {
      if (this.#dice.chance(this.#crashes)) this.#crash()
      else if (this.#messages.length === 0 || this.#dice.chance(0.08)) this.#begin(this.#dice.pick(this.#proposers))
      else this.#step()
    }
    // Then the network is whole, and one proposer after another gets through.
    for (const proposer of this.#proposers)
      for (let tries = 0; tries < 3 && this.#violation === null; tries++) {
        this.#messages = this.#messages.filter(({ body }) => body.kind === 'commit')
        this.#begin(proposer)
        while (this.#messages.length > 0) this.#deliver(this.#take())
      }
    this.#checkHistory()
    if (this.#violation === null && this.#bug === null && this.#decided.size === 0) this.#violation = 'nothing decided'
    return { violation: this.#violation, decided: new Set([...this.#decided.values()].map(String)).size }
  }

  /** A node that starts: its clock may be behind what it was, or stand still. */
  #newSource(node: string): BallotSource {
    let micros = this.#dice.int(3)
    const strides = this.#dice.pick([0, 1, 2])
    return new BallotSource(node, () => (micros += strides))
  }

  #crash(): void {
    if (this.#dice.chance(0.5)) {
      const acceptor = this.#acceptors.get(this.#dice.pick([...this.#acceptors.keys()]))!
      acceptor.memory = acceptor.disk
    } else {
      const proposer = this.#dice.pick(this.#proposers)
      proposer.attempt = null
      proposer.heardOf = null
      proposer.source = this.#newSource(proposer.node)
    }
  }

  #begin(proposer: Proposer): void {
    const isReused = this.#bug === 'ballot reused' && proposer.last !== null && this.#dice.chance(0.5)
    const ballot = isReused ? proposer.last! : proposer.source.next(proposer.heardOf)
    proposer.last = ballot
    let participants = [...this.#acceptors.keys()]
    if (this.#bug === 'quorum too small') {
      const size = Math.max(1, Math.floor(participants.length / 2))
      while (participants.length > size) participants = participants.toSpliced(this.#dice.int(participants.length), 1)
    }
    proposer.attempt = new Attempt(ballot, participants)
    proposer.own = `${proposer.node.slice(-1)}.${this.#names++}`
    proposer.replies = []
    for (const acceptor of participants)
      this.#messages.push({ proposer, attempt: proposer.attempt, acceptor, body: { kind: 'prepare' } })
  }

  #take(): Message {
    return this.#messages.splice(this.#dice.int(this.#messages.length), 1)[0]!
  }

  #step(): void {
    const message = this.#take()
    if (this.#dice.chance(this.#loss)) return
    if (this.#dice.chance(0.1)) this.#messages.push(message)
    this.#deliver(message)
  }

  #deliver(message: Message): void {
    const { body, acceptor: name, attempt, proposer } = message
    const acceptor = this.#acceptors.get(name)!
    switch (body.kind) {
      case 'prepare': {
        const reply = this.#perform(name, acceptor, this.#prepare(acceptor.memory, attempt.ballot))
        if (reply) this.#messages.push({ ...message, body: { kind: 'promise', reply } })
        break
      }
      case 'propose': {
        const reply = this.#perform(name, acceptor, propose(acceptor.memory, body.proposal))
        if (reply) this.#messages.push({ ...message, body: { kind: 'accept', reply } })
        break
      }
      case 'commit':
        this.#perform(name, acceptor, this.#commit(acceptor.memory, body.proposal))
        break
      case 'promise':
        if (proposer.attempt === attempt) this.#promised(message, body.reply)
        break
      case 'accept':
        if (proposer.attempt === attempt) this.#accepted(message, body.reply)
        break
    }
  }

  #prepare(state: AcceptorState<Value>, ballot: Ballot): Transition<Value, PrepareReply<Value>> {
    const transition = prepare(state, ballot)
    if (this.#bug !== 'ballot reused' || compareBallots(state.promised, ballot) !== 0) return transition
    const { accepted, committed } = state
    return { state, write: null, reply: { kind: 'promised', accepted, committed } }
  }

  #commit(state: AcceptorState<Value>, proposal: Proposal<Value>): Transition<Value, unknown> {
    const transition = commit(state, proposal)
    if (this.#bug !== 'commit clears what is above it') return transition
    return { ...transition, state: { ...transition.state, accepted: null } }
  }

  /** Writes what the transition asks for, then gives the reply; null where the acceptor crashed before it could. */
  #perform<R>(name: string, acceptor: Acceptor, { state, write, reply }: Transition<Value, R>): R | null {
    if (this.#dice.chance(this.#crashes / 4)) {
      acceptor.memory = acceptor.disk
      return null
    }
    acceptor.memory = state
    if (write === 'accepted') this.#count(name, state.accepted!)
    const forgets =
      (write === 'promised' && this.#bug === 'promise not persisted') ||
      (write === 'accepted' && this.#bug === 'accepted not persisted')
    if (write !== null && !forgets) acceptor.disk = state
    if (!this.#dice.chance(this.#crashes / 4)) return reply
    acceptor.memory = acceptor.disk
    return null
  }

  #count(name: string, { ballot, value }: Proposal<Value>): void {
    const key = `${ballot.micros} ${ballot.node} ${value}`
    const by = this.#acceptances.get(key) ?? new Set()
    this.#acceptances.set(key, by.add(name))
    if (by.size >= majorityOf(this.#acceptors.size)) this.#decided.set(key, value)
  }

  #promised({ proposer, attempt, acceptor }: Message, reply: PrepareReply<Value>): void {
    proposer.replies.push([acceptor, reply])
    const verdict = attempt.promise(this.#countedAs(proposer, acceptor), reply)
    if (verdict.kind === 'refused') proposer.heardOf = verdict.by
    if (verdict.kind !== 'promised') return
    if (verdict.lacking.length > 0) {
      for (const lacking of verdict.lacking) this.#sendCommit(proposer, attempt, lacking, verdict.committed!)
      return
    }
    let inProgress = verdict.inProgress
    if (this.#bug === 'highest accepted ignored') inProgress = null
    if (this.#bug === 'first accepted taken')
      inProgress =
        proposer.replies.flatMap(([, other]) => (other.kind === 'promised' && other.accepted) || [])[0] ?? null
    const own = [...(verdict.committed?.value ?? []), proposer.own!]
    if (inProgress) proposer.own = null
    const proposal = attempt.propose(inProgress?.value ?? own)
    for (const name of this.#acceptors.keys())
      this.#messages.push({ proposer, attempt, acceptor: name, body: { kind: 'propose', proposal } })
    proposer.replies = []
    this.#proposals.set(attempt, proposal)
  }

  #accepted({ proposer, attempt, acceptor }: Message, reply: ProposeReply): void {
    proposer.replies.push([acceptor, { kind: 'refused', by: attempt.ballot }])
    const verdict = attempt.accept(this.#countedAs(proposer, acceptor), reply)
    if (verdict.kind === 'refused') {
      proposer.heardOf = verdict.by
      if (!verdict.isUncertain && proposer.own !== null) this.#never.add(proposer.own)
    }
    if (verdict.kind !== 'decided') return
    const proposal = this.#proposals.get(attempt)!
    this.#decided.set(`said ${proposal.ballot.micros} ${proposal.ballot.node}`, proposal.value)
    if (this.#isRegister) for (const name of this.#acceptors.keys()) this.#sendCommit(proposer, attempt, name, proposal)
  }

  #sendCommit(proposer: Proposer, attempt: Attempt<Value>, acceptor: string, proposal: Proposal<Value>): void {
    this.#messages.push({ proposer, attempt, acceptor, body: { kind: 'commit', proposal } })
  }

  #countedAs(proposer: Proposer, acceptor: string): string {
    if (this.#bug !== 'duplicates counted') return acceptor
    return [...this.#acceptors.keys()][proposer.replies.length - 1] ?? acceptor
  }

  #checkHistory(): void {
    const values = [...this.#decided.values()].sort((a, b) => a.length - b.length)
    for (const [i, value] of values.entries()) {
      const before = values[i - 1]
      if (before && !before.every((name, at) => value[at] === name))
        this.#violation = `decided: ${before.join(' ')}, and ${value.join(' ')}`
      if (new Set(value).size !== value.length) this.#violation = `twice in ${value.join(' ')}`
      for (const name of value) if (this.#never.has(name)) this.#violation = `${name} was said never to be decided`
    }
    if (!this.#isRegister && values.some((value) => value.length !== 1)) this.#violation = 'an entry has one value'
  }
}
