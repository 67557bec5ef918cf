/**
 * How a node without a cluster comes to one: it asks the seeds. If one of them belongs to a cluster, that is it. If none does, the seeds found one: its
 * first entry is an instance of Paxos among the whole list of seeds, so a majority of them must take part, in whatever order they start, and from one
 * list never come two clusters. The proposal names the nodes that were there; the others join later.
 * Always: a node that belongs to a cluster never takes part in founding another; nor does one with a log of its own, but alone.
 */
import type { Log } from '../../lib/runtime/runtime.ts'
import type { Endpoint } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { majorityOf } from '../paxos/core.ts'
import { TopologyError } from '../ring/topology.ts'
import type { LogReplica } from './catch-up.ts'
import type { Exchange } from './exchange.ts'
import type { DiscoverRequest, Discovery } from './messages.ts'
import type { Instance } from './proposer.ts'
import type { ReplicatedLog } from './replicated-log.ts'

const SOURCE = 'founding.ts'

/** For the answer of a seed: it may not run yet, or be far away, so the first questions are impatient and later ones are not. */
const DISCOVER_MS = 100
const DISCOVER_MAX_MS = 1_000
/** How long a majority of the seeds waits for the others to found with them. */
const GRACE_MS = 1_000
/** Of two seeds that are ready at once the second waits so much longer. */
const RANK_MS = 300
const POLL_MS = 50
const POLL_MAX_MS = 1_000
const REMIND_EVERY_MS = 10_000

export interface FoundingOptions {
  readonly exchange: Exchange
  readonly replica: LogReplica
  readonly log: ReplicatedLog
  readonly reports: Log
  readonly clusterName: string
  /** Endpoints; this node's own among them if it is a seed. */
  readonly seeds: readonly Endpoint[]
  /** What this node would be in a new cluster. */
  readonly candidate: () => string
  /** The first entry of a cluster of these candidates; differs with each call. */
  readonly entry: (candidates: readonly string[]) => string
}

/** This node may not be where it was started; the message is meant for people. */
export class FoundingError extends Error {
  override name = 'FoundingError'
}

export class Founding {
  readonly #options: FoundingOptions
  readonly #seeds: readonly Endpoint[]
  readonly #isSeed: boolean
  /** Since when a majority of the seeds is ready. */
  #readySinceMs: number | null = null
  #remindedMs: number | null = null
  /** Where each seed that answered is. */
  readonly #endpoints = new Map<string, Endpoint>()

  constructor(options: FoundingOptions) {
    this.#options = options
    this.#seeds = [...new Set(options.seeds)].sort()
    this.#isSeed = this.#seeds.includes(options.exchange.self.endpoint)
    options.exchange.answer<DiscoverRequest>(Verb.METADATA_DISCOVER, () => this.#discovery())
  }

  /** Resolves when this node has the log of a cluster. Throws FoundingError; rejects when the exchange is closed. */
  async establish(): Promise<void> {
    const { exchange, replica, log } = this.#options
    for (let tries = 0; replica.view().clusterId === ''; tries++) {
      if (exchange.isClosed) throw new FoundingError('the node was stopped before it found its cluster')
      const hasHistory = replica.view().epoch > 0
      if (this.#isSeed && (!hasHistory || this.#seeds.length === 1))
        log.takePartInFounding({ epoch: replica.view().epoch + 1, seeds: this.#seeds })
      const found = await this.#discover(Math.min(DISCOVER_MAX_MS, DISCOVER_MS * 2 ** (tries >> 2)))
      const founded = found.find(({ clusterId }) => clusterId !== '')
      if (hasHistory && (founded || this.#seeds.length > 1)) throw new FoundingError(HISTORY)
      if (founded) await this.#options.log.catchUp.pull(this.#endpointOf(founded))
      else if (this.#isReady(found)) await this.#found(found)
      else this.#remind(found)
      if (replica.view().clusterId === '')
        await exchange.sleep(exchange.jitter(Math.min(POLL_MAX_MS, POLL_MS * 2 ** Math.min(tries >> 2, 5))))
    }
    log.takePartInFounding(null)
  }

  #endpointOf({ hostId }: Discovery): Endpoint {
    return this.#endpoints.get(hostId)!
  }

  #discovery(): Discovery {
    const { replica, clusterName, exchange, candidate } = this.#options
    const { clusterId, epoch } = replica.view()
    const mayFound = this.#isSeed && (epoch === 0 || this.#seeds.length === 1)
    return {
      clusterName,
      clusterId,
      epoch,
      hostId: exchange.self.hostId,
      seeds: mayFound ? this.#seeds : null,
      candidate: candidate(),
    }
  }

  async #discover(timeoutMs: number): Promise<Discovery[]> {
    const { exchange, clusterName } = this.#options
    const found: Discovery[] = []
    await exchange.gather<{ endpoint: Endpoint }, Discovery>(
      this.#seeds.map((endpoint) => ({ endpoint })),
      ({ endpoint }) =>
        exchange.ask(endpoint, Verb.METADATA_DISCOVER, { clusterName } satisfies DiscoverRequest, timeoutMs),
      ({ endpoint }, answer) => {
        if (!answer) return false
        this.#endpoints.set(answer.hostId, endpoint)
        found.push(answer)
        return answer.clusterId !== ''
      },
    )
    const other = found.find((discovery) => discovery.clusterName !== clusterName)
    if (other)
      throw new FoundingError(
        `The seed ${this.#endpointOf(other)} is of cluster ${other.clusterName}, this node of ${clusterName}`,
      )
    return found
  }

  /** Seeds with the same list, that have nothing yet. */
  #founders(found: readonly Discovery[]): Discovery[] {
    const list = JSON.stringify(this.#seeds)
    return found.filter(({ seeds }) => JSON.stringify(seeds) === list)
  }

  #isReady(found: readonly Discovery[]): boolean {
    if (!this.#isSeed) return false
    const { exchange } = this.#options
    const founders = this.#founders(found)
    if (founders.length < majorityOf(this.#seeds.length)) {
      this.#readySinceMs = null
      return false
    }
    const nowMs = exchange.clock.monotonicMs()
    this.#readySinceMs ??= nowMs
    const rank = founders
      .map((founder) => this.#endpointOf(founder))
      .sort()
      .indexOf(exchange.self.endpoint)
    const graceMs = founders.length === this.#seeds.length ? 0 : GRACE_MS
    return nowMs - this.#readySinceMs >= graceMs + rank * RANK_MS
  }

  async #found(found: readonly Discovery[]): Promise<void> {
    const { replica, log, entry, reports } = this.#options
    const instance: Instance = {
      epoch: replica.view().epoch + 1,
      clusterId: '',
      seeds: this.#seeds,
      participants: this.#seeds.map((endpoint) => ({ id: endpoint, endpoint })),
    }
    const founders = this.#founders(found).sort((a, b) => (this.#endpointOf(a) < this.#endpointOf(b) ? -1 : 1))
    let payload: string
    try {
      payload = entry(founders.map(({ candidate }) => candidate))
    } catch (error) {
      if (!(error instanceof TopologyError)) throw error
      throw new FoundingError(`The seeds cannot be one cluster: ${error.message}`)
    }
    const result = await log.proposer.attempt(instance, payload)
    if (result.kind === 'decided') {
      reports.info(SOURCE, `A new cluster is founded by ${founders.length} of ${this.#seeds.length} seeds`)
      await log.learn(instance, result.payload)
    } else if (result.kind === 'over') await log.catchUp.pull(result.from)
  }

  #remind(found: readonly Discovery[]): void {
    const { exchange, reports } = this.#options
    const nowMs = exchange.clock.monotonicMs()
    this.#remindedMs ??= nowMs - REMIND_EVERY_MS + 2_000
    if (nowMs - this.#remindedMs < REMIND_EVERY_MS) return
    this.#remindedMs = nowMs
    const differing = found.filter(({ seeds }) => seeds !== null).length - this.#founders(found).length
    reports.warn(
      SOURCE,
      `Waiting for the seeds ${this.#seeds.join(', ')}: ${found.length} of ${this.#seeds.length} answer, ` +
        `${majorityOf(this.#seeds.length)} must to found a cluster${differing > 0 ? `; ${differing} were given other seeds` : ''}`,
    )
  }
}

const HISTORY =
  'This node has tables from a time when it was alone: start it once with its own address as the only seed, then the others with it among theirs'
