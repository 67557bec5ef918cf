/**
 * Materialized views of a cluster: each replica of a base table's partition has one replica of each view's partition to keep up to date, its pair.
 * Source: Cassandra's ViewUtils.getViewNaturalEndpoint: within the data centre, a node that holds both is its own pair; of the others the i-th base
 * replica has the i-th view replica. View replicas to be get the changes, too. Who has data of the partition and is no replica of it (not yet, or not any more) tells
 * all: a former replica may be the only one that knows of a row that has to go.
 * What is for other nodes is noted in the record of the base table's write, so that it is sent after a crash, too; the note goes when each of them has
 * its part, or a hint is kept for it.
 *
 * note := (host id 16 | written at 8 | mutation: length u32, bytes)*, in a table as batches have (batch-store.ts)
 */
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason } from '../../lib/base/errors.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import { readInt32 } from '../../storage/model/row.ts'
import type { ReplicaSet } from '../ring/placement.ts'
import type { RingNode } from '../ring/topology.ts'
import { BATCH_ID_BYTES, type BatchStore } from './batch-store.ts'
import type { Deliver } from './batchlog.ts'
import { isTooOld, sendMutations } from './deliver.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import { putMicros, putMutation, readMicros } from './write-messages.ts'

const HOST_ID_BYTES = 16

interface Errand {
  readonly hostId: string
  readonly writtenAt: number
  readonly mutation: Buffer
}

/** What a write means for views, divided among nodes: see ViewPlaces of lib/view. */
export interface Placed {
  readonly here: readonly Buffer[]
  readonly send: (() => void) | null
}

export class ViewOutbox {
  readonly #environment: CoordinatorEnvironment
  readonly #notes: BatchStore
  readonly #sending = new Set<Promise<void>>()

  readonly #deliver: Deliver

  /** `deliver`: to all replicas, as the ring is by then. */
  constructor(environment: CoordinatorEnvironment, notes: BatchStore, deliver: Deliver) {
    this.#environment = environment
    this.#notes = notes
    this.#deliver = deliver
  }

  /** Sends what was noted before the node stopped. */
  async start(): Promise<void> {
    for await (const { id, content } of this.#notes.all()) this.#send(id, readNote(content))
  }

  /** Notes of which something has not arrived anywhere yet. */
  get underWay(): number {
    return this.#sending.size
  }

  /** Resolves when all that is under way has arrived somewhere. */
  async close(): Promise<void> {
    await Promise.all(this.#sending)
  }

  place(keyspace: string, basePosition: Buffer, mutations: readonly Buffer[]): Placed {
    const placed = this.#environment.placement(keyspace)
    if (placed === null) return { here: mutations, send: null }
    const { placement, replication } = placed
    const self = this.#environment.self()
    const isNear = ({ datacenter }: RingNode): boolean =>
      replication.datacenters === null || datacenter === self.datacenter
    const base = placement.at(readInt32(basePosition, 0), readInt32(basePosition, 4)).natural.filter(isNear)
    const here: Buffer[] = []
    const errands: Errand[] = []
    let writtenAt = 0
    for (const mutation of mutations) {
      const view = placement.at(readInt32(mutation, TABLE_ID_BYTES), readInt32(mutation, TABLE_ID_BYTES + 4))
      for (const hostId of pairs(self, base, view, isNear)) {
        if (hostId === self.hostId) here.push(mutation)
        else {
          if (writtenAt === 0) writtenAt = this.#environment.timestampMicros()
          errands.push({ hostId, writtenAt, mutation })
        }
      }
    }
    if (errands.length === 0) return { here, send: null }
    const id = this.#environment.random.fill(Buffer.alloc(BATCH_ID_BYTES))
    here.push(this.#notes.putting(id, noteOf(errands)))
    return { here, send: () => this.#send(id, errands) }
  }

  #send(id: Buffer, errands: readonly Errand[]): void {
    const sending = this.#sendAll(id, errands)
      .catch((cause: unknown) => this.#environment.report(cause as Error))
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }

  /** What it leaves undone the next start does. */
  async #sendAll(id: Buffer, errands: readonly Errand[]): Promise<void> {
    const byHost = new Map<string, Errand[]>()
    for (const errand of errands) byHost.set(errand.hostId, [...(byHost.get(errand.hostId) ?? []), errand])
    await Promise.all(Array.from(byHost, ([hostId, those]) => this.#sendTo(hostId, those)))
    await this.#notes.remove(id)
  }

  async #sendTo(hostId: string, errands: readonly Errand[]): Promise<void> {
    const { liveness, hints } = this.#environment
    const node = this.#environment.nodes().get(hostId)
    const due = errands.filter(({ mutation, writtenAt }) => !isTooOld(this.#environment, mutation, writtenAt))
    if (node === undefined || due.length === 0) return
    const mutations = due.map(({ mutation }) => mutation)
    const reason = liveness.isAlive(hostId)
      ? await sendMutations(this.#environment, node.endpoint, mutations, due[0]!.writtenAt)
      : FailureReason.NODE_DOWN
    if (reason === null) return
    // Whose pair this node is by the ring that has come is not known to be who got the rest: all of them get it.
    if (reason === FailureReason.COORDINATOR_BEHIND && (await this.#sendByNewRing(due))) return
    if (!hints.mayStore(hostId)) return
    await Promise.all(due.map(({ mutation, writtenAt }) => hints.store(hostId, mutation, writtenAt)))
  }

  /** False: nothing is known of it. */
  async #sendByNewRing(errands: readonly Errand[]): Promise<boolean> {
    try {
      for (const { mutation, writtenAt } of errands) await this.#deliver([mutation], writtenAt)
      return true
    } catch (cause) {
      this.#environment.report(cause as Error)
      return false
    }
  }
}

/** Host ids of those to whom this base replica brings a view's change. */
function pairs(
  self: RingNode,
  base: readonly RingNode[],
  view: ReplicaSet,
  isNear: (node: RingNode) => boolean,
): string[] {
  const natural = view.natural.filter(isNear)
  const pending = view.pending.filter(isNear).map(({ hostId }) => hostId)
  if (!base.some(({ hostId }) => hostId === self.hostId)) return [...natural.map(({ hostId }) => hostId), ...pending]
  if (natural.some(({ hostId }) => hostId === self.hostId)) return [self.hostId, ...pending]
  const viewIds = new Set(natural.map(({ hostId }) => hostId))
  const baseIds = new Set(base.map(({ hostId }) => hostId))
  const place = base.filter(({ hostId }) => !viewIds.has(hostId)).findIndex(({ hostId }) => hostId === self.hostId)
  const pair = natural.filter(({ hostId }) => !baseIds.has(hostId))[place]
  return pair === undefined ? pending : [pair.hostId, ...pending]
}

function noteOf(errands: readonly Errand[]): Buffer {
  const out = new ByteWriter(512)
  for (const { hostId, writtenAt, mutation } of errands) {
    out.bytes(uuidBytes(hostId))
    putMicros(out, writtenAt)
    putMutation(out, mutation)
  }
  return out.view()
}

function readNote(content: Buffer): Errand[] {
  const reader = new ByteReader(content)
  const errands: Errand[] = []
  while (reader.remaining() > 0) {
    const hostId = uuidText(reader.view(HOST_ID_BYTES))
    const writtenAt = readMicros(reader)
    errands.push({ hostId, writtenAt, mutation: reader.view(reader.uint32()) })
  }
  return errands
}
