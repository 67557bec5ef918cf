/**
 * The batchlog: a logged batch of several partitions is first kept by two other nodes of the coordinator's data centre, in different racks if
 * there are such. When it has been written they forget it; if they are not told so in time, they write it themselves.
 * Source: Cassandra's BatchlogManager and ReplicaPlans.forBatchlogWrite.
 * Always: once a part of a batch may have been written, all of it will be, whatever becomes of the coordinator: each replica gets its part or has a hint.
 *
 * BATCH_STORE  := id 16 | written at 8 (µs of the coordinator's hybrid clock) | mutation*        BATCH_REMOVE := id 16
 */
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import type { Incoming, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { RingNode } from '../ring/topology.ts'
import { BATCH_ID_BYTES, type BatchStore } from './batch-store.ts'
import type { CoordinatorEnvironment, ReplicaSide } from './environment.ts'
import {
  isReplicaFailure,
  type ReplicaError,
  reasonName,
  unavailable,
  writeFailure,
  writeTimeout,
} from './request-errors.ts'
import type { BatchGuard } from './write.ts'
import { putMicros, putMutation, readMicros, readMutations } from './write-messages.ts'

/** Writes what a dead coordinator may not have; resolves when every replica has it or a hint is kept for it. */
export type Deliver = (mutations: readonly Buffer[], writtenAt: number) => Promise<void>

const KEEPERS = 2

export class Batchlog implements BatchGuard, ReplicaSide {
  readonly #environment: CoordinatorEnvironment
  readonly #store: BatchStore
  /** Batches kept here, by id (latin1): when they were seen first, in monotonic ms. */
  readonly #kept = new Map<string, number>()
  #deliver: Deliver | null = null
  #timer: Disposable | null = null
  #replaying: Promise<void> = Promise.resolve()
  #closed = false
  /** Batches that were written here because their coordinators did not say that they had. */
  replayed = 0

  constructor(environment: CoordinatorEnvironment, store: BatchStore) {
    this.#environment = environment
    this.#store = store
  }

  /** Takes up what was kept before the node stopped. */
  async start(deliver: Deliver): Promise<void> {
    const now = this.#environment.clock.monotonicMs()
    for await (const { id } of this.#store.all()) this.#kept.set(id.toString('latin1'), now)
    this.#deliver = deliver
    this.#arm()
  }

  /** Resolves when nothing is being written any more. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
    await this.#replaying
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.BATCH_STORE, (message) => this.#put(message.payload))
    messenger.handle(Verb.BATCH_REMOVE, (message) => this.#remove(message))
  }

  /** After that time nobody works on a batch any more but those who keep it. */
  get #patienceMs(): number {
    return 2 * this.#environment.timeouts.writeMs
  }

  async keep(mutations: readonly Buffer[], consistency: number): Promise<() => void> {
    const { messenger, timeouts, random } = this.#environment
    const self = this.#environment.self()
    const out = new ByteWriter(1024)
    const id = random.fill(Buffer.alloc(BATCH_ID_BYTES))
    out.bytes(id)
    putMicros(out, this.#environment.timestampMicros())
    for (const mutation of mutations) putMutation(out, mutation)
    const content = out.view()
    const candidates = this.#candidates(consistency)
    if (candidates.length === 0) throw unavailable(Consistency.ONE, 1, 0)
    const blockFor = Math.min(KEEPERS, candidates.length)
    const keepers: RingNode[] = []
    const errors: ReplicaError[] = []
    const ask = async (node: RingNode): Promise<void> => {
      keepers.push(node)
      const { endpoint, hostId } = node
      const reason = await new Promise<number | null>((resolve) => {
        if (hostId === self.hostId) void this.#putHere(content).then(resolve)
        else
          messenger.request(endpoint, Verb.BATCH_STORE, content, timeouts.writeMs, {
            replied: () => resolve(null),
            failed: (_from, why) => resolve(why),
          })
      })
      if (reason === null) return
      errors.push({ endpoint, reason })
      // Another may do as well, unless there is no time left.
      const other = reason === FailureReason.TIMEOUT ? undefined : candidates.shift()
      if (other === undefined) throw errors
      await ask(other)
    }
    const first = candidates.splice(0, blockFor)
    const results = await Promise.allSettled(first.map(ask))
    const received = results.filter(({ status }) => status === 'fulfilled').length
    if (received < blockFor) {
      const replies = { level: blockFor === 1 ? Consistency.ONE : Consistency.TWO, received, blockFor }
      const isSilence = errors.some(({ reason }) => reason === FailureReason.TIMEOUT)
      throw isSilence ? writeTimeout(replies, 'BATCH_LOG') : writeFailure(replies, errors, 'BATCH_LOG')
    }
    return () => {
      for (const { endpoint, hostId } of keepers)
        if (hostId === self.hostId) void this.#forget(id)
        else messenger.send(endpoint, Verb.BATCH_REMOVE, id)
    }
  }

  /**
   * Who may keep a batch, best first: those of the own data centre that are alive, by chance, of two racks before two of one, and of other
   * racks before the own one. The node itself only where there is no other.
   */
  #candidates(consistency: number): RingNode[] {
    const { liveness, random } = this.#environment
    const self = this.#environment.self()
    const peers = [...this.#environment.nodes().values()].filter(
      ({ hostId, datacenter, status }) =>
        hostId !== self.hostId && datacenter === self.datacenter && status !== 'joining',
    )
    const alive = peers.filter(({ hostId }) => liveness.isAlive(hostId))
    if (alive.length === 0) return peers.length === 0 || consistency === Consistency.ANY ? [self] : []
    const shuffled = alive.map((node) => ({ node, order: random.float() + (node.rack === self.rack ? 1 : 0) }))
    shuffled.sort((a, b) => a.order - b.order)
    const nodes = shuffled.map(({ node }) => node)
    const first = nodes.shift()!
    const second = nodes.findIndex(({ rack }) => rack !== first.rack)
    return second > 0 ? [first, ...nodes.splice(second, 1), ...nodes] : [first, ...nodes]
  }

  /** Null: it is kept. */
  async #putHere(content: Buffer): Promise<number | null> {
    try {
      await this.#put(content)
      return null
    } catch (cause) {
      this.#environment.report(cause as Error)
      return FailureReason.UNKNOWN
    }
  }

  /** Copies the content before it waits. */
  async #put(content: Buffer): Promise<undefined> {
    const reader = new ByteReader(content)
    const id = Buffer.from(reader.view(BATCH_ID_BYTES))
    readMicros(reader)
    readMutations(reader)
    try {
      const done = this.#store.put(id, content)
      this.#kept.set(id.toString('latin1'), this.#environment.clock.monotonicMs())
      await done
      return undefined
    } catch (cause) {
      if (!isReplicaFailure(cause)) throw cause
      this.#environment.report(cause)
      const { UNKNOWN } = FailureReason
      throw Object.assign(new ReplicaFailure(reasonName(UNKNOWN), UNKNOWN, cause.message), { cause })
    } finally {
      this.#arm()
    }
  }

  #remove({ payload }: Incoming): undefined {
    void this.#forget(Buffer.from(payload))
    return undefined
  }

  /** If it fails the batch is written once more, which changes nothing. */
  async #forget(id: Buffer): Promise<void> {
    try {
      await this.#store.remove(id)
      this.#kept.delete(id.toString('latin1'))
    } catch (cause) {
      this.#environment.report(cause as Error)
    }
  }

  #arm(): void {
    if (this.#timer !== null || this.#closed || this.#kept.size === 0 || this.#deliver === null) return
    this.#timer = this.#environment.clock.after(this.#patienceMs, () => {
      this.#replaying = this.#replay().finally(() => {
        this.#timer = null
        this.#arm()
      })
    })
  }

  async #replay(): Promise<void> {
    const { clock } = this.#environment
    for (const [name, since] of this.#kept) {
      if (this.#closed) return
      // Those that follow came later.
      if (clock.monotonicMs() - since < this.#patienceMs) return
      try {
        await this.#replayOne(Buffer.from(name, 'latin1'))
      } catch (cause) {
        this.#environment.report(cause as Error)
        // It is tried again with those that came last.
        this.#kept.delete(name)
        this.#kept.set(name, clock.monotonicMs())
      }
    }
  }

  async #replayOne(id: Buffer): Promise<void> {
    const content = await this.#store.get(id)
    if (content !== null) {
      const reader = new ByteReader(content, BATCH_ID_BYTES)
      const writtenAt = readMicros(reader)
      await this.#deliver!(readMutations(reader).mutations, writtenAt)
      this.replayed++
    }
    await this.#forget(id)
  }
}
