/**
 * The metadata log among its members: entry after entry, each decided by an instance of Paxos among those whom the entries before it name.
 * Source: Lamport, Paxos Made Simple §3; Cassandra's CEP-21. Any node may propose; members accept; every node keeps the whole log.
 *
 * Always:
 * - of an epoch there is one entry, on every node that has it;
 * - append() resolves only when its entry is decided, and is durable and visible here; what it refuses is refused on a state that is no older
 *   than the call;
 * - without a majority of the members it rejects within a bound, and says whether the entry may still be decided.
 */
import type { Log } from '../../lib/runtime/runtime.ts'
import type { Endpoint, Sender } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { majorityOf } from '../paxos/core.ts'
import { type AcceptorRecord, LogAcceptor } from './acceptor.ts'
import { BehindError, CatchUp, type LogPeer, type LogReplica } from './catch-up.ts'
import type { Exchange } from './exchange.ts'
import type {
  CommitAnswer,
  CommitMessage,
  FetchAnswer,
  FetchRequest,
  InstanceName,
  LoggedEntry,
  NoPart,
  PrepareAnswer,
  PrepareRequest,
  ProposeAnswer,
  ProposeRequest,
  ReachedMessage,
} from './messages.ts'
import { type AttemptResult, type Instance, type Participant, Proposer } from './proposer.ts'

const SOURCE = 'replicated-log.ts'

export interface ReplicatedLogOptions {
  readonly exchange: Exchange
  readonly replica: LogReplica
  readonly log: Log
  readonly acceptor: AcceptorRecord | null
  readonly saveAcceptor: (record: AcceptorRecord) => Promise<void>
  /** Whom to wait for after a decision, so that the next request through them finds it. Default: everybody, for as long as pushMs. */
  readonly isAlive?: (hostId: string) => boolean
  /** Where gossip says that a node is; null: it says nothing. */
  readonly whereabouts?: (hostId: string) => Endpoint | null
  readonly times?: Partial<LogTimes>
}

export interface LogTimes {
  /** For an answer of one member: it syncs its disk first. */
  readonly requestMs: number
  /** Until append() gives up. */
  readonly appendMs: number
  /** Until it gives up while no majority answers at all. */
  readonly unreachableMs: number
  /** How long append() waits for others to have what was decided. */
  readonly pushMs: number
  /** How long a node that starts waits for others to tell what it missed. */
  readonly comeBackMs: number
  /** How often a node asks another whether there is more: a message that was lost is made up for. */
  readonly pullEveryMs: number
}

const TIMES: LogTimes = {
  requestMs: 2_000,
  appendMs: 8_000,
  unreachableMs: 3_000,
  pushMs: 500,
  comeBackMs: 500,
  pullEveryMs: 5_000,
}

/** No entry could be decided. */
export class NoMajorityError extends Error {
  override name = 'NoMajorityError'
  readonly required: number
  readonly answered: number
  readonly members: number
  /** It may have been decided, or may yet be. */
  readonly isUncertain: boolean

  constructor(answered: number, members: number, isUncertain: boolean) {
    super(`${answered} of ${members} metadata members answered, ${majorityOf(members)} must`)
    this.required = majorityOf(members)
    this.answered = answered
    this.members = members
    this.isUncertain = isUncertain
  }
}

export class ReplicatedLog {
  readonly counts = { appended: 0, contended: 0, withoutMajority: 0 }
  readonly exchange: Exchange
  readonly times: LogTimes
  readonly catchUp: CatchUp
  readonly #replica: LogReplica
  readonly #log: Log
  readonly #acceptor: LogAcceptor
  readonly proposer: Proposer
  readonly #isAlive: (hostId: string) => boolean
  readonly #whereabouts: (hostId: string) => Endpoint | null
  /** Of nodes that were heard: they may have moved since the log was told. */
  readonly #endpoints = new Map<string, Endpoint>()
  /** The epochs that nodes are known to have, at least. */
  readonly #reached = new Map<string, number>()
  #appending: Promise<unknown> = Promise.resolve()
  /** When it was found out last that no majority answers. */
  #lostMajority: { readonly atMs: number; readonly answered: number; readonly members: number } | null = null
  /** The founding in which this node takes part, while there is one. */
  #founding: { readonly epoch: number; readonly seeds: readonly Endpoint[] } | null = null

  constructor(options: ReplicatedLogOptions) {
    const { exchange, replica } = options
    this.exchange = exchange
    this.times = { ...TIMES, ...options.times }
    this.#replica = replica
    this.#log = options.log
    this.#isAlive = options.isAlive ?? (() => true)
    this.#whereabouts = options.whereabouts ?? (() => null)
    this.#acceptor = new LogAcceptor(options.acceptor, options.saveAcceptor)
    this.proposer = new Proposer({ exchange, requestMs: this.times.requestMs })
    this.catchUp = new CatchUp({
      exchange,
      replica,
      requestMs: this.times.requestMs,
      patienceMs: this.times.unreachableMs,
      isInProgress: (epoch) => this.#acceptor.accepted(epoch) !== null,
      endpointOf: (hostId, logged) => this.#endpointOf(hostId, logged),
    })
    exchange.answer<PrepareRequest>(Verb.METADATA_PREPARE, (request, from) => this.#prepare(request, from))
    exchange.answer<ProposeRequest>(Verb.METADATA_PROPOSE, (request, from) => this.#propose(request, from))
    exchange.answer<CommitMessage>(Verb.METADATA_COMMIT, (message, from) => this.#commit(message, from))
    exchange.hear<ReachedMessage>(Verb.METADATA_REACHED, ({ clusterId, epoch, hostIds }) => {
      if (clusterId === replica.view().clusterId) for (const hostId of hostIds) this.#noteReached(hostId, epoch)
    })
  }

  /** Takes what was decided while this node was away, if a majority of the members tells of it soon: it may be that nobody else runs. */
  async comeBack(): Promise<void> {
    const { exchange, times } = this
    const { epoch, clusterId, participants } = this.#nextInstance()
    const others = participants.filter(({ id }) => id !== exchange.self.hostId)
    const request: FetchRequest = { clusterId, since: epoch - 1, snapshot: null }
    let missing = majorityOf(participants.length) - (participants.length - others.length)
    let newest = { epoch: 0, from: '' }
    await exchange.gather<Participant, FetchAnswer>(
      others,
      ({ endpoint }) => exchange.ask(endpoint, Verb.METADATA_FETCH, request, times.comeBackMs),
      ({ endpoint }, answer) => {
        if (answer === null || answer.clusterId !== clusterId) return false
        if (answer.epoch > newest.epoch) newest = { epoch: answer.epoch, from: endpoint }
        missing -= 1
        return missing <= 0
      },
    )
    await this.#reachQuietly(newest.epoch, newest.from)
  }

  /** From now on it takes what it missed by itself. */
  start(): void {
    void this.#pullNow()
  }

  /** Lets this node accept in the founding of a cluster; null: no longer. */
  takePartInFounding(founding: { readonly epoch: number; readonly seeds: readonly Endpoint[] } | null): void {
    this.#founding = founding
  }

  /**
   * Has an entry decided. `build` gives its payload for the state as it is, again for every state that others were faster to make; null: nothing
   * is to be done. What it throws is thrown on. Payloads must differ from each other. Throws NoMajorityError.
   */
  append(build: () => string | null | Promise<string | null>): Promise<void> {
    const calledMs = this.exchange.clock.monotonicMs()
    const done = this.#appending.then(() => this.#append(build, calledMs))
    this.#appending = done.catch(() => undefined)
    return done
  }

  /** Resolves when no append is on its way. */
  async settle(): Promise<void> {
    await this.#appending
  }

  async #append(build: () => string | null | Promise<string | null>, calledMs: number): Promise<void> {
    const { exchange, times } = this
    const began = exchange.clock.monotonicMs()
    // What failed while this one waited has found out for it, too.
    const lost = this.#lostMajority
    if (lost && lost.atMs > calledMs) {
      this.counts.withoutMajority += 1
      throw new NoMajorityError(lost.answered, lost.members, false)
    }
    let reachedMs = began
    let isConfirmed = false
    let isUncertain = false
    let last = null as LoggedEntry | null
    for (let tries = 0; ; tries++) {
      const instance: Instance = this.#nextInstance()
      if (last && instance.epoch > last.epoch && isUncertain) {
        const payload = await this.#payloadOf(last.epoch)
        if (payload === last.payload) {
          this.counts.appended += 1
          return
        }
        if (payload === null) throw new NoMajorityError(0, instance.participants.length, true)
        isUncertain = false
      }
      let result: AttemptResult
      let failure: unknown = null
      let payload: string | null = last?.epoch === instance.epoch ? last.payload : null
      if (payload === null) {
        try {
          payload = await build()
        } catch (error) {
          failure = error
        }
        // While it was built another entry may have come.
        if (this.#replica.view().epoch + 1 !== instance.epoch) continue
      }
      if (payload !== null) {
        last = { epoch: instance.epoch, payload }
        result = await this.proposer.attempt(instance, payload)
      } else {
        if (isConfirmed) {
          if (failure !== null) throw failure
          return
        }
        const barrier = await this.#barrier(instance)
        if (barrier === 'newest') isConfirmed = true
        if (typeof barrier === 'string') continue
        result = barrier
      }
      const nowMs = exchange.clock.monotonicMs()
      if (result.kind === 'decided') {
        await this.learn(instance, result.payload)
        if (result.payload === last?.payload) {
          this.counts.appended += 1
          return
        }
        reachedMs = nowMs
        continue
      }
      if (result.kind !== 'free') isUncertain ||= result.isUncertain
      if (result.kind === 'contended') this.counts.contended += 1
      const isUnreachable = result.kind === 'unreachable'
      if (!isUnreachable) reachedMs = nowMs
      const answered = result.kind === 'unreachable' ? result.answered : instance.participants.length
      const hasNoMajority = nowMs - reachedMs > times.unreachableMs
      if (hasNoMajority) this.#lostMajority = { atMs: nowMs, answered, members: instance.participants.length }
      if (exchange.isClosed || nowMs - began > times.appendMs || hasNoMajority) {
        this.counts.withoutMajority += 1
        throw new NoMajorityError(answered, instance.participants.length, isUncertain)
      }
      if (result.kind === 'over') await this.#reachQuietly(instance.epoch, result.from)
      else await exchange.sleep(exchange.jitter(isUnreachable ? 200 : Math.min(500, 10 * 2 ** Math.min(tries, 6))))
    }
  }

  /** What was decided is taken here first, then told to everybody. */
  async learn({ epoch, clusterId, seeds }: Instance, payload: string): Promise<void> {
    const before = this.#replica.view().peers
    const entry = { epoch, payload }
    await this.#replica.apply([entry])
    const pushed = this.#push({ clusterId, seeds, entry }, before)
    // Nobody waits for the news that there is a cluster.
    if (clusterId !== '') await pushed
  }

  /** Resolves when all who are alive have it, or pushMs are over. */
  async #push(message: CommitMessage, before: readonly LogPeer[]): Promise<void> {
    const { exchange, times } = this
    const { epoch } = message.entry
    const told = new Map<Endpoint, LogPeer | null>()
    for (const seed of message.seeds ?? []) told.set(seed, null)
    for (const peer of [...before, ...this.#replica.view().peers])
      told.set(this.#endpointOf(peer.hostId, peer.endpoint), peer)
    told.delete(exchange.self.endpoint)
    const waited: { endpoint: Endpoint; peer: LogPeer; answer: Promise<CommitAnswer | null> }[] = []
    for (const [endpoint, peer] of told) {
      const answer = exchange.ask<CommitAnswer>(endpoint, Verb.METADATA_COMMIT, message, times.pushMs)
      if (peer && this.#isAlive(peer.hostId)) waited.push({ endpoint, peer, answer })
    }
    const hostIds = [exchange.self.hostId]
    await exchange.gather(
      waited,
      ({ answer }) => answer,
      ({ peer: { hostId } }, answer) => {
        if (answer && answer.epoch >= epoch) hostIds.push(hostId)
        return false
      },
    )
    for (const hostId of hostIds) this.#noteReached(hostId, epoch)
    const { clusterId } = this.#replica.view()
    for (const { endpoint } of waited)
      exchange.tell(endpoint, Verb.METADATA_REACHED, { clusterId, epoch, hostIds } satisfies ReachedMessage)
  }

  /** The epoch that the node has at least, as far as it is known here. */
  reached(hostId: string): number {
    return this.#reached.get(hostId) ?? 0
  }

  #noteReached(hostId: string, epoch: number): void {
    if (epoch > this.reached(hostId)) this.#reached.set(hostId, epoch)
  }

  /**
   * Whether the state here is as new as any that was acknowledged before the call. Who answers with a later epoch, or holds something in
   * progress, tells that it may not be: 'older', and what could be had of it was taken.
   */
  async #barrier(instance: Instance): Promise<'newest' | 'older' | AttemptResult> {
    const { participants, epoch } = instance
    const required = majorityOf(participants.length)
    let answered = 0
    let ahead: { epoch: number; from: Endpoint } | null = null
    let isInProgress = false
    const request: FetchRequest = { clusterId: instance.clusterId, since: epoch - 1, snapshot: null }
    await this.exchange.gather<Participant, FetchAnswer>(
      participants,
      ({ endpoint }) => this.exchange.ask(endpoint, Verb.METADATA_FETCH, request, this.times.requestMs),
      ({ endpoint }, answer) => {
        if (answer === null || answer.clusterId !== instance.clusterId) return false
        answered += 1
        if (answer.epoch >= epoch && answer.epoch > (ahead?.epoch ?? 0)) ahead = { epoch: answer.epoch, from: endpoint }
        if (answer.epoch === epoch - 1 && answer.isInProgress) isInProgress = true
        return answered >= required
      },
    )
    if (answered < required) return { kind: 'unreachable', isUncertain: false, answered }
    const seen = ahead as { epoch: number; from: Endpoint } | null
    if (seen) {
      await this.#reachQuietly(seen.epoch, seen.from)
      return this.#replica.view().epoch >= epoch ? 'older' : { kind: 'over', from: seen.from, isUncertain: false }
    }
    if (!isInProgress) return 'newest'
    const result = await this.proposer.attempt(instance, null)
    return result.kind === 'free' ? 'newest' : result
  }

  #nextInstance(): Instance {
    const { epoch, clusterId, members, peers } = this.#replica.view()
    const known = new Map(peers.map(({ hostId, endpoint }) => [hostId, endpoint]))
    const participants = members.map((id) => ({ id, endpoint: this.#endpointOf(id, known.get(id) ?? '') }))
    return { epoch: epoch + 1, clusterId, seeds: null, participants }
  }

  #endpointOf(hostId: string, logged: Endpoint): Endpoint {
    if (hostId === this.exchange.self.hostId) return this.exchange.self.endpoint
    return this.#whereabouts(hostId) ?? this.#endpoints.get(hostId) ?? logged
  }

  /** A node says where it is with every message; the log is told later. */
  heardOf({ hostId, endpoint }: Sender): void {
    this.#endpoints.set(hostId, endpoint)
  }

  async #payloadOf(epoch: number): Promise<string | null> {
    const entries = await this.#replica.entries(epoch - 1, 1)
    return entries?.find((entry) => entry.epoch === epoch)?.payload ?? null
  }

  async #reachQuietly(epoch: number, from: Endpoint): Promise<void> {
    await this.catchUp.reach(epoch, from).catch(ignoreBehind)
  }

  async #prepare(request: PrepareRequest, from: Sender): Promise<PrepareAnswer> {
    await this.#comeUpTo(request, from)
    return this.#noPart(request) ?? this.#acceptor.prepare(request.epoch, request.ballot)
  }

  async #propose(request: ProposeRequest, from: Sender): Promise<ProposeAnswer> {
    await this.#comeUpTo(request, from)
    return this.#noPart(request) ?? this.#acceptor.propose(request.epoch, request.proposal)
  }

  /** Who proposes an entry has all before it. */
  async #comeUpTo({ clusterId, epoch, to }: InstanceName, from: Sender): Promise<void> {
    const view = this.#replica.view()
    if (clusterId === '' || clusterId !== view.clusterId || to !== this.exchange.self.hostId) return
    this.heardOf(from)
    if (view.epoch < epoch - 1) await this.#reachQuietly(epoch - 1, from.endpoint)
  }

  /** Why this node is no acceptor of the instance, if it is none. Of one turn with the acceptor's transition: the epoch must not move in between. */
  #noPart(name: InstanceName): NoPart | null {
    if (name.clusterId === '') return this.#noFounder(name)
    const { epoch, members, clusterId } = this.#replica.view()
    if (name.to !== this.exchange.self.hostId) return { kind: 'absent', why: `this is ${this.exchange.self.hostId}` }
    if (clusterId !== name.clusterId) return { kind: 'absent', why: 'of another cluster' }
    if (epoch >= name.epoch) return { kind: 'decided', epoch }
    if (epoch < name.epoch - 1) return { kind: 'absent', why: `has only epoch ${epoch}` }
    if (!members.includes(name.to)) return { kind: 'absent', why: 'no member' }
    return null
  }

  #noFounder({ seeds, epoch, to }: InstanceName): NoPart | null {
    const view = this.#replica.view()
    if (view.clusterId !== '') return { kind: 'decided', epoch: view.epoch }
    const own = this.#founding
    if (!own || own.epoch !== epoch || to !== this.exchange.self.endpoint)
      return { kind: 'absent', why: 'takes no part in founding a cluster' }
    if (JSON.stringify(own.seeds) !== JSON.stringify(seeds)) return { kind: 'absent', why: 'was given other seeds' }
    return null
  }

  async #commit({ clusterId, seeds, entry }: CommitMessage, from: Sender): Promise<CommitAnswer> {
    const view = this.#replica.view()
    if (clusterId === '') {
      // The founding of this node's own cluster, or none of its business.
      const name = { clusterId, seeds, epoch: entry.epoch, to: this.exchange.self.endpoint }
      if (this.#noFounder(name) === null) {
        await this.#replica.apply([entry])
        this.exchange.wake()
      }
    } else if (clusterId === view.clusterId) {
      this.heardOf(from)
      if (view.epoch + 1 < entry.epoch) await this.#reachQuietly(entry.epoch - 1, from.endpoint)
      if (this.#replica.view().epoch + 1 === entry.epoch) await this.#replica.apply([entry])
    }
    return { epoch: this.#replica.view().epoch }
  }

  /** Asks one node, now and then, whether it has more. */
  async #pullNow(): Promise<void> {
    const { exchange, times } = this
    while (!exchange.isClosed) {
      try {
        const others = this.#replica.view().peers.filter(({ hostId }) => hostId !== exchange.self.hostId)
        const other = others[Math.floor(exchange.random.float() * others.length)]
        if (other) await this.catchUp.pull(this.#endpointOf(other.hostId, other.endpoint))
      } catch (cause) {
        this.#log.error(SOURCE, 'Metadata could not be brought up to date', cause)
      }
      await exchange.sleep(exchange.jitter(times.pullEveryMs))
    }
  }

  async close(): Promise<void> {
    this.exchange.close()
    await this.settle()
  }
}

function ignoreBehind(error: unknown): void {
  if (!(error instanceof BehindError)) throw error
}
