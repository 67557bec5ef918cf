/**
 * The gossip of one node: every second it tells a few others what it knows of all, and hears what they know.
 * Source: Dynamo §4.8.2; Cassandra's Gossiper (syn, ack, ack2; now and then a dead node and a seed), with three live nodes a round in place of one.
 * Always: what others say of this node changes nothing in what it says of itself; a node of another cluster is neither heard nor answered;
 * messages are bounded, and what finds no room is told in a later round.
 */
import { assert } from '../../lib/base/assert.ts'
import { BytesError } from '../../lib/base/bytes.ts'
import { FailureReason } from '../../lib/base/errors.ts'
import type { Clock, Random } from '../../lib/runtime/runtime.ts'
import type { Endpoint, Incoming, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { Attendance, ECHO_TIMEOUT_INTERVALS, STATUS_STOPPED } from './attendance.ts'
import type { GossipKey, GossipValue, Liveness, LivenessChange, NodeState, Standing } from './liveness.ts'
import { type ClusterName, GossipReader, GossipWriter, VALUE_BYTES_MAX, VALUES_MAX } from './messages.ts'
import {
  answerDigests,
  answerWanted,
  applyDifference,
  type Difference,
  type Digest,
  differenceFor,
  digestOf,
  type Known,
  makeKnown,
  type NodeKey,
  nodeKey,
  withHeartbeat,
} from './state.ts'

export interface GossipMember {
  readonly hostId: string
  readonly endpoint: Endpoint
}

export interface GossiperOptions {
  readonly clock: Clock
  readonly random: Random
  readonly messenger: Messenger
  cluster(): ClusterName
  /** Seconds since 1970 of this start; greater than that of every start before. */
  readonly generation: number
  /** Endpoints; this node's own does no harm. */
  readonly seeds: readonly Endpoint[]
  /** Who belongs to the cluster by its metadata. Others (a node that is about to join) are known for as long as they are heard of. */
  members(): Iterable<GossipMember>
  /** For the log. */
  report(message: string): void
  /** This process was stopped for so long (more than five seconds): what it knows is old. */
  woke?(pausedMs: number): void
  /** Another node, there, has this one's host id and started later: two must not go on. */
  conflict?(endpoint: string): void
  /** Default 1 000. */
  readonly intervalMs?: number
  /** Live nodes told in a round. Default 3. */
  readonly fanout?: number
  /** Default 8, Cassandra's phi_convict_threshold. */
  readonly phiConvict?: number
}

/** Suspect at a quarter of what convicts: 4.6 s of silence at the defaults. */
const SUSPECT_PART = 4

/** Until the first other node is up, rounds come quicker by so much: a cluster that starts as a whole need not wait for its second second. */
const EAGER_PART = 10
/** … but no longer than so many intervals. */
const EAGER_INTERVALS = 10

/** Nodes that are told of in one message. */
const DIFFERENCES_MAX = 256

/** Who is no member and was not heard of for so long is forgotten: Cassandra's fat client timeout. */
const STRANGER_INTERVALS = 30

/** Of those that were forgotten it is remembered how much of them was known, so that others' late words do not bring them back. */
const FORGOTTEN_MAX = 1_000

export interface GossipCounts {
  rounds: number
  /** Messages of another cluster, or damaged. */
  refused: number
  sentBytes: number
}

export class Gossiper implements Liveness {
  readonly #options: GossiperOptions
  readonly #messenger: Messenger
  readonly #intervalMs: number
  readonly #attendance: Attendance
  readonly #writer = new GossipWriter()
  readonly #random: Random
  readonly #key: NodeKey
  #own: Known
  readonly #states = new Map<NodeKey, Known>()
  /** When a node's heartbeat was last seen to move. */
  readonly #movedMs = new Map<NodeKey, number>()
  readonly #forgotten = new Map<NodeKey, Digest>()
  readonly #refusedFrom = new Set<Endpoint>()
  readonly counts: GossipCounts = { rounds: 0, refused: 0, sentBytes: 0 }
  #timer: Disposable | null = null
  #phase: 'new' | 'running' | 'stopped' = 'new'

  constructor(options: GossiperOptions) {
    const { messenger, clock } = options
    const { hostId, endpoint } = messenger.self
    this.#options = options
    this.#messenger = messenger
    this.#random = options.random.stream('gossip')
    this.#intervalMs = options.intervalMs ?? 1_000
    const phiConvict = options.phiConvict ?? 8
    this.#attendance = new Attendance(hostId, {
      clock,
      intervalMs: this.#intervalMs,
      phiConvict,
      phiSuspect: phiConvict / SUSPECT_PART,
      echo: (node, timeoutMs, answered, failed) => this.#echo(node, timeoutMs, answered, failed),
      report: options.report,
    })
    this.#key = nodeKey(hostId)
    const values = new Map<string, GossipValue>([
      ['HOST_ID', { value: hostId, version: 1 }],
      ['INTERNAL_ADDRESS_AND_PORT', { value: endpoint, version: 2 }],
    ])
    this.#own = makeKnown(this.#key, hostId, options.generation, 2, values)
    this.#states.set(this.#key, this.#own)
    messenger.handle(Verb.GOSSIP_SYN, (message) =>
      this.#hear(message, (reader) => this.#onSyn(reader, message.from.endpoint)),
    )
    messenger.handle(Verb.GOSSIP_ACK, (message) =>
      this.#hear(message, (reader) => this.#onAck(reader, message.from.endpoint)),
    )
    messenger.handle(Verb.GOSSIP_ACK2, (message) => this.#hear(message, (reader) => this.#apply(reader.differences())))
    messenger.handle(Verb.GOSSIP_SHUTDOWN, (message) =>
      this.#hear(message, (reader) => this.#apply(reader.differences())),
    )
    messenger.handle(Verb.GOSSIP_ECHO, (message) => this.#onEcho(message))
    messenger.handle(Verb.GOSSIP_HELLO, () => this.#onHello())
  }

  /** The first round is at once. Before that this node answers, and asks nobody. */
  start(): void {
    assert(this.#phase === 'new')
    this.#phase = 'running'
    this.#round()
  }

  isAlive(hostId: string): boolean {
    return this.#attendance.isAlive(hostId)
  }

  listen(change: LivenessChange): Disposable {
    return this.#attendance.listen(change)
  }

  standing(hostId: string): Standing {
    return this.#attendance.standing(hostId)
  }

  phi(hostId: string): number {
    return this.#attendance.phi(hostId)
  }

  /** Of all nodes that were heard of, this one first. */
  states(): readonly NodeState[] {
    return [...this.#states.values()]
  }

  state(hostId: string): NodeState | null {
    return this.#states.get(nodeKey(hostId)) ?? null
  }

  setLocal(key: GossipKey, value: string): void {
    assert(Buffer.byteLength(value) <= VALUE_BYTES_MAX)
    if (this.#own.values.get(key)?.value === value) return
    const { hostId, generation, heartbeat, version } = this.#own
    const values = new Map(this.#own.values).set(key, { value, version: version + 1 })
    assert(values.size <= VALUES_MAX)
    this.#setOwn(makeKnown(this.#key, hostId, generation, heartbeat, values))
  }

  /** What it said last is told in a tenth of a second, not with the next round: others wait for it. */
  hurry(): void {
    if (this.#phase !== 'running' || this.#timer === null) return
    this.#timer[Symbol.dispose]()
    this.#timer = this.#options.clock.after(this.#intervalMs / EAGER_PART, () => this.#round())
  }

  /** This node is about to stop: others need not find out. It gossips no more; call it before the doors close. */
  announceShutdown(): void {
    if (this.#phase === 'stopped') return
    const spoke = this.#phase === 'running'
    this.setLocal('STATUS_WITH_PORT', `${STATUS_STOPPED},true`)
    this.setLocal('RPC_READY', 'false')
    this.close()
    if (!spoke) return
    const payload = this.#begin()
      .differences([differenceFor(this.#own, null)!])
      .end()
    for (const state of this.#states.values()) {
      const endpoint = endpointOf(state)
      if (endpoint !== null && this.#attendance.isUp(state.key)) this.#send(endpoint, Verb.GOSSIP_SHUTDOWN, payload)
    }
  }

  close(): void {
    this.#phase = 'stopped'
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #round(): void {
    this.#look()
    this.counts.rounds++
    this.#setOwn(withHeartbeat(this.#own, this.#own.version + 1))
    this.#attendance.assess()
    const members = [...this.#options.members()]
    this.#forgetStrangers(members)
    const targets = this.#targets(members)
    if (targets.size > 0) {
      const payload = this.#begin().digests(this.#shuffledDigests()).end()
      for (const target of targets) this.#send(target, Verb.GOSSIP_SYN, payload)
    }
    const eager = this.counts.rounds <= EAGER_PART * EAGER_INTERVALS && targets.size > 0 && !this.#anyUp()
    this.#timer = this.#options.clock.after(eager ? this.#intervalMs / EAGER_PART : this.#intervalMs, () =>
      this.#round(),
    )
  }

  #anyUp(): boolean {
    for (const key of this.#states.keys()) if (this.#attendance.isUp(key)) return true
    return false
  }

  #targets(members: readonly GossipMember[]): Set<Endpoint> {
    const own = this.#messenger.self.endpoint
    const live: Endpoint[] = []
    const dead = new Set<Endpoint>()
    for (const state of this.#states.values()) {
      const endpoint = endpointOf(state)
      if (state.key === this.#key || endpoint === null) continue
      if (this.#attendance.isUp(state.key)) live.push(endpoint)
      else dead.add(endpoint)
    }
    // Members that were not heard of since this node started are found where they were last.
    for (const { hostId, endpoint } of members) if (!this.#attendance.knows(hostId)) dead.add(endpoint)
    const seeds = this.#options.seeds.filter((seed) => seed !== own)
    const targets = new Set<Endpoint>()
    for (let i = 0; i < (this.#options.fanout ?? 3) && live.length > 0; i++) targets.add(this.#take(live))
    if (this.#chance(dead.size / (targets.size + live.length + 1))) targets.add(this.#take([...dead]))
    const fewLive = targets.size + live.length < seeds.length
    if (seeds.length > 0 && (fewLive || !seeds.some((seed) => targets.has(seed)))) {
      if (fewLive || this.#chance(seeds.length / (live.length + targets.size + dead.size)))
        targets.add(this.#take(seeds))
    }
    targets.delete(own)
    return targets
  }

  #chance(probability: number): boolean {
    return this.#random.float() < probability
  }

  /** One by chance, taken out. */
  #take(from: Endpoint[]): Endpoint {
    const at = Math.floor(this.#random.float() * from.length)
    const taken = from[at]!
    from[at] = from[from.length - 1]!
    from.pop()
    return taken
  }

  /** So that, when there is not room for all, it is not always the same who are left out. */
  #shuffledDigests(): Digest[] {
    const digests = Array.from(this.#states.values(), digestOf)
    for (let i = digests.length - 1; i > 0; i--) {
      const j = Math.floor(this.#random.float() * (i + 1))
      const digest = digests[i]!
      digests[i] = digests[j]!
      digests[j] = digest
    }
    return digests
  }

  #forgetStrangers(members: readonly GossipMember[]): void {
    const now = this.#options.clock.monotonicMs()
    const belong = new Set(members.map(({ hostId }) => hostId))
    for (const state of this.#states.values()) {
      const { key, hostId } = state
      if (key === this.#key || belong.has(hostId)) continue
      if (now - this.#movedMs.get(key)! < STRANGER_INTERVALS * this.#intervalMs) continue
      this.#states.delete(key)
      this.#movedMs.delete(key)
      this.#attendance.forget(key)
      this.#forgotten.delete(key)
      this.#forgotten.set(key, digestOf(state))
      const oldest = this.#forgotten.keys().next().value
      if (this.#forgotten.size > FORGOTTEN_MAX && oldest !== undefined) this.#forgotten.delete(oldest)
    }
  }

  #look(): void {
    const pausedMs = this.#attendance.look()
    if (pausedMs === 0) return
    // Strangers were not silent while nobody listened.
    for (const [key, movedMs] of this.#movedMs) this.#movedMs.set(key, movedMs + pausedMs)
    this.#options.report(`This process was stopped for ${Math.round(pausedMs)} ms: what it knows of other nodes is old`)
    this.#options.woke?.(pausedMs)
  }

  #hear(message: Incoming, take: (reader: GossipReader) => void): undefined {
    if (this.#phase === 'stopped') return
    const { endpoint } = message.from
    try {
      const reader = new GossipReader(message.payload)
      if (!this.#isOurs(reader.cluster, endpoint)) return
      if (this.#phase === 'running') this.#look()
      take(reader)
    } catch (error) {
      if (!(error instanceof BytesError)) throw error
      this.#refuse(endpoint, `Gossip from ${endpoint} is damaged: ${error.message}`)
    }
  }

  #isOurs({ name, id }: ClusterName, from: Endpoint): boolean {
    const own = this.#options.cluster()
    if (name !== own.name) {
      this.#refuse(from, `Gossip from ${from} is of another cluster: its name is ${name}, not ${own.name}`)
      return false
    }
    if (id !== null && own.id !== null && id !== own.id) {
      this.#refuse(from, `Gossip from ${from} is of another cluster of the same name: its id is ${id}, not ${own.id}`)
      return false
    }
    return true
  }

  /** Said once for each address. */
  #refuse(from: Endpoint, why: string): void {
    this.counts.refused++
    if (this.#refusedFrom.has(from) || this.#refusedFrom.size >= FORGOTTEN_MAX) return
    this.#refusedFrom.add(from)
    this.#options.report(why)
  }

  #onSyn(reader: GossipReader, from: Endpoint): void {
    const digests = reader
      .digests()
      .filter(({ key, generation, version }) => !this.#isForgotten(key, generation, version))
    const { differences, wanted } = answerDigests(this.#states, digests, DIFFERENCES_MAX)
    if (differences.length === 0 && wanted.length === 0) return
    this.#send(from, Verb.GOSSIP_ACK, this.#begin().differences(differences).digests(wanted).end())
  }

  #onAck(reader: GossipReader, from: Endpoint): void {
    this.#apply(reader.differences())
    const differences = answerWanted(this.#states, reader.digests(), DIFFERENCES_MAX)
    if (differences.length > 0) this.#send(from, Verb.GOSSIP_ACK2, this.#begin().differences(differences).end())
  }

  #onEcho(message: Incoming): Buffer | undefined {
    // A node that is not there yet, or no longer, does not answer for itself.
    if (this.#phase !== 'running') return
    let ours = false
    this.#hear(message, () => {
      ours = true
    })
    return ours ? Buffer.from(this.#begin().digest(digestOf(this.#own)).end()) : undefined
  }

  /** Also to a node of another cluster, so that it learns where it is, and before this node has started. See introduction.ts. */
  #onHello(): Buffer | undefined {
    if (this.#phase === 'stopped') return
    const states = [...this.#states.values()]
    const up = states.filter(({ key }) => key === this.#key || this.#attendance.isUp(key))
    const differences = states.slice(0, DIFFERENCES_MAX).map((state) => differenceFor(state, null)!)
    const wallMicros = this.#options.clock.wallMicros()
    return Buffer.from(this.#begin().micros(wallMicros).differences(differences).digests(up.map(digestOf)).end())
  }

  #echo(node: Known, timeoutMs: number, answered: (who: Digest) => void, failed: (reason: number) => void): void {
    const endpoint = endpointOf(node)
    if (endpoint === null) failed(FailureReason.UNKNOWN)
    else
      this.#ask(endpoint, timeoutMs, (who, reason) => {
        if (who && this.#phase === 'running') answered(who)
        else failed(reason)
      })
  }

  /** Who is there? Null: nobody of this cluster, and why. */
  #ask(endpoint: Endpoint, timeoutMs: number, told: (who: Digest | null, reason: number) => void): void {
    this.#messenger.request(endpoint, Verb.GOSSIP_ECHO, this.#begin().end(), timeoutMs, {
      replied: (from, payload) => {
        let who: Digest | null = null
        try {
          const reader = new GossipReader(payload)
          if (this.#isOurs(reader.cluster, from)) who = reader.digest()
        } catch (error) {
          if (!(error instanceof BytesError)) throw error
        }
        told(who, FailureReason.UNKNOWN)
      },
      failed: (_from, reason) => told(null, reason),
    })
  }

  #apply(differences: readonly Difference[]): void {
    for (const difference of differences) {
      if (difference.key === this.#key) this.#heardOfOneself(difference)
      else this.#applyOne(difference)
    }
  }

  #applyOne(difference: Difference): void {
    const { key, generation, heartbeat } = difference
    const before = this.#states.get(key)
    if (!before && this.#isForgotten(key, generation, heartbeat)) return
    const after = applyDifference(before, difference)
    if (after === undefined || after === before) return
    this.#states.set(key, after)
    this.#forgotten.delete(key)
    if (!before || after.generation > before.generation || after.heartbeat > before.heartbeat)
      this.#movedMs.set(key, this.#options.clock.monotonicMs())
    this.#attendance.heard(after)
  }

  #isForgotten(key: NodeKey, generation: number, version: number): boolean {
    const forgotten = this.#forgotten.get(key)
    if (!forgotten) return false
    return generation < forgotten.generation || (generation === forgotten.generation && version <= forgotten.version)
  }

  /**
   * Others know more of this node than it said since it started. Either it said so in an earlier life, and its memory of that is lost: then it
   * goes on with a greater generation. Or another node has its host id and started later, at an address where it answers.
   */
  #heardOfOneself({ generation, heartbeat, values }: Difference): void {
    const own = this.#own
    if (generation < own.generation || (generation === own.generation && heartbeat <= own.version)) return
    const endpoint = values.get('INTERNAL_ADDRESS_AND_PORT')?.value
    if (endpoint === undefined || endpoint === this.#messenger.self.endpoint) {
      this.#outlive(generation)
      return
    }
    this.#ask(endpoint, ECHO_TIMEOUT_INTERVALS * this.#intervalMs, (who) => {
      if (who?.key === this.#key) {
        this.#options.report(`Another node, at ${endpoint}, has the host id of this one, and started later`)
        this.#options.conflict?.(endpoint)
      } else this.#outlive(generation)
    })
  }

  #outlive(generation: number): void {
    const { hostId, heartbeat, values } = this.#own
    if (generation >= this.#own.generation)
      this.#setOwn(makeKnown(this.#key, hostId, generation + 1, heartbeat, values))
  }

  #setOwn(own: Known): void {
    this.#own = own
    this.#states.set(this.#key, own)
  }

  #begin(): GossipWriter {
    return this.#writer.begin(this.#options.cluster())
  }

  #send(to: Endpoint, verb: number, payload: Buffer): void {
    this.counts.sentBytes += payload.length
    this.#messenger.send(to, verb, payload)
  }
}

function endpointOf(state: NodeState): Endpoint | null {
  return state.values.get('INTERNAL_ADDRESS_AND_PORT')?.value ?? null
}
