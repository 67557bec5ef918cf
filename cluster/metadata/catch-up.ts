/**
 * Getting what other nodes have of the log and this one lacks: entries, or a snapshot where those are not kept any more.
 * Always: one pull at a time, but that nobody waits for one who does not answer when it is known who has the entries; what is pulled goes through LogReplica in the order of epochs, so two ways of learning an entry do not disturb each other.
 */
import type { Endpoint } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { Exchange } from './exchange.ts'
import type { FetchAnswer, FetchRequest, LoggedEntry } from './messages.ts'

/** Bytes of entries in one answer: it shares its lane with gossip. */
const ANSWER_BYTES_MAX = 256 * 1024

/** Who has not answered for so long is not waited for alone. */
const STALLED_MS = 100

/** The node's own copy of the log and what follows from it. */
export interface LogReplica {
  view(): LogView
  /** In order, durable and visible when it resolves. Entries that are known are passed over; it rejects when one is missing. */
  apply(entries: readonly LoggedEntry[]): Promise<void>
  /** Entries after the epoch, as many as fit but at least one; null when they are not kept any more. */
  entries(since: number, bytesMax: number): Promise<readonly LoggedEntry[] | null>
  /** The latest snapshot; there is one whenever entries are not kept. */
  snapshot(): Promise<{ readonly epoch: number; readonly head: string; readonly parts: number }>
  snapshotPart(epoch: number, part: number): Promise<string | null>
  /** Takes another's snapshot over, if it is ahead. */
  install(head: string, parts: readonly string[]): Promise<void>
}

export interface LogPeer {
  readonly hostId: string
  readonly endpoint: Endpoint
}

export interface LogView {
  readonly epoch: number
  /** Empty: none was founded. */
  readonly clusterId: string
  /** Host ids of those who decide the next entry. */
  readonly members: readonly string[]
  /** All nodes of the cluster, members among them. */
  readonly peers: readonly LogPeer[]
}

export interface CatchUpOptions {
  readonly exchange: Exchange
  readonly replica: LogReplica
  readonly requestMs: number
  /** How long to try before a caller is told that it cannot be done. */
  readonly patienceMs: number
  readonly isInProgress: (epoch: number) => boolean
  /** Where a node is now; `logged`: where the log says that it is. */
  readonly endpointOf: (hostId: string, logged: Endpoint) => Endpoint
}

/** Nobody who was asked has the epoch. */
export class BehindError extends Error {
  override name = 'BehindError'
}

export class CatchUp {
  readonly #options: CatchUpOptions
  readonly #reaching = new Map<number, { readonly promise: Promise<void>; readonly sources: Set<Endpoint> }>()
  #pulling: Promise<void> | null = null
  /** Since when it waits for one that was asked. */
  #askedMs = 0

  constructor(options: CatchUpOptions) {
    this.#options = options
    options.exchange.answer<FetchRequest>(Verb.METADATA_FETCH, (request) => this.#answer(request))
  }

  /** Resolves when this node has the epoch. `from`: who is known to have it. Throws BehindError. */
  reach(epoch: number, from: Endpoint | null): Promise<void> {
    if (this.#options.replica.view().epoch >= epoch) return Promise.resolve()
    // Every message of a node that is ahead asks for this: they share one way of getting it.
    let reaching = this.#reaching.get(epoch)
    if (from !== null) this.#askAlso(from)
    if (!reaching) {
      const sources = new Set<Endpoint>(from === null ? [] : [from])
      const promise = this.#reach(epoch, sources).finally(() => this.#reaching.delete(epoch))
      reaching = { promise, sources }
      this.#reaching.set(epoch, reaching)
    }
    if (from !== null) reaching.sources.add(from)
    return reaching.promise
  }

  async #reach(epoch: number, sources: ReadonlySet<Endpoint>): Promise<void> {
    const { exchange, replica, patienceMs } = this.#options
    const deadline = exchange.clock.monotonicMs() + patienceMs
    for (let tries = 0; replica.view().epoch < epoch; tries++) {
      if (exchange.isClosed || exchange.clock.monotonicMs() > deadline)
        throw new BehindError(`metadata of epoch ${epoch} cannot be had: this node is at ${replica.view().epoch}`)
      if (tries > 0) await exchange.sleep(exchange.jitter(50))
      await this.#alone(() => this.#pullUntil(epoch, sources))
    }
  }

  /** Takes all that the node has and this one lacks; false when it gave no answer. */
  async pull(from: Endpoint): Promise<boolean> {
    let answered = false
    await this.#alone(async () => {
      answered = await this.#pullFrom(from)
    })
    return answered
  }

  /** Who is asked may be behind a partition: then another is, too. */
  #askAlso(source: Endpoint): void {
    const { exchange } = this.#options
    if (this.#pulling === null || exchange.clock.monotonicMs() - this.#askedMs < STALLED_MS) return
    // What goes wrong is met again by who pulls.
    this.#pullFrom(source).catch(() => undefined)
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    // Whoever waited may find that there is nothing left to do.
    while (this.#pulling) await this.#pulling
    this.#pulling = work().finally(() => {
      this.#pulling = null
    })
    await this.#pulling
  }

  async #pullUntil(epoch: number, known: ReadonlySet<Endpoint>): Promise<void> {
    for (const source of this.#ranked(known)) {
      if (this.#options.replica.view().epoch >= epoch || this.#options.exchange.isClosed) return
      await this.#pullFrom(source)
    }
  }

  /** Who is known to have it, then the members, then the others, each in random order. */
  #ranked(known: ReadonlySet<Endpoint>): Endpoint[] {
    const { replica, exchange, endpointOf } = this.#options
    const { peers, members } = replica.view()
    const ranks = new Map<Endpoint, number>()
    for (const { hostId, endpoint } of peers)
      ranks.set(endpointOf(hostId, endpoint), exchange.random.float() + (members.includes(hostId) ? 1 : 2))
    for (const endpoint of known) ranks.set(endpoint, exchange.random.float())
    ranks.delete(exchange.self.endpoint)
    return [...ranks].sort(([, a], [, b]) => a - b).map(([endpoint]) => endpoint)
  }

  async #pullFrom(source: Endpoint): Promise<boolean> {
    const { exchange, replica, requestMs } = this.#options
    for (;;) {
      const { epoch, clusterId } = replica.view()
      this.#askedMs = exchange.clock.monotonicMs()
      const answer = await exchange.ask<FetchAnswer>(
        source,
        Verb.METADATA_FETCH,
        { clusterId, since: epoch, snapshot: null } satisfies FetchRequest,
        requestMs,
      )
      if (!answer || exchange.isClosed) return false
      if (answer.snapshot) {
        if (!(await this.#pullSnapshot(source, answer))) return false
      } else if (answer.entries.length > 0) await replica.apply(answer.entries)
      const now = replica.view().epoch
      if (now >= answer.epoch || now === epoch) return true
    }
  }

  async #pullSnapshot(source: Endpoint, { clusterId, snapshot }: FetchAnswer): Promise<boolean> {
    const { exchange, replica, requestMs } = this.#options
    const { epoch, head, parts: count } = snapshot!
    const parts: string[] = []
    for (let part = 0; part < count; part++) {
      const request: FetchRequest = { clusterId, since: 0, snapshot: { epoch, part } }
      const answer = await exchange.ask<FetchAnswer>(source, Verb.METADATA_FETCH, request, requestMs)
      if (!answer || answer.part === null) return false
      parts.push(answer.part)
    }
    await replica.install(head, parts)
    return true
  }

  async #answer({ clusterId, since, snapshot }: FetchRequest): Promise<FetchAnswer> {
    const { replica, isInProgress } = this.#options
    const view = replica.view()
    const answer = {
      clusterId: view.clusterId,
      epoch: view.epoch,
      isInProgress: isInProgress(view.epoch + 1),
      entries: [],
      snapshot: null,
      part: null,
    }
    if (view.clusterId === '' || (clusterId !== '' && clusterId !== view.clusterId)) return { ...answer, epoch: 0 }
    if (snapshot) return { ...answer, part: await replica.snapshotPart(snapshot.epoch, snapshot.part) }
    if (since >= view.epoch) return answer
    const entries = await replica.entries(since, ANSWER_BYTES_MAX)
    return entries ? { ...answer, entries } : { ...answer, snapshot: await replica.snapshot() }
  }
}
