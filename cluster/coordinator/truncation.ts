/**
 * TRUNCATE in a cluster: every node empties its part of the table. Source: Cassandra's StorageProxy.truncateBlocking: all nodes must be alive.
 * The coordinator asks all nodes for their hybrid clocks: every write that was acknowledged by then began at or before the latest of them. That is
 * the truncation's time. Every node that hears of it has a clock beyond it from then on, so a write that begins after the truncation has ended is
 * later; a replica takes nothing that began before (TruncationMarks), however late it comes, and does not acknowledge it either.
 * A read that goes on meanwhile may find the old on one replica and nothing on another: it must not bring the old back. So each node knows of the truncation
 * from the question for its clock, before any replica is empty, until the coordinator says that all are.
 * The answers tell, too, whether there are nodes of which the coordinator has not heard.
 * Materialized views are emptied when the table is empty everywhere: until then a write that comes before its replica is emptied may bring a row into a view
 * on a node that is empty already, and nobody would take it out again. Views have a time of their own, the latest of the clocks after that. What writes after
 * the table's time brought meanwhile is gone with the rest, so each node brings its rows anew when the truncation has ended.
 * Always: nothing that was acknowledged before the truncation began is there after it ended; nothing acknowledged after it ended is lost.
 */
import { ByteReader, BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { Consistency, consistencyName } from '../../lib/types/consistency.ts'
import { TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import type { Endpoint, Incoming, Messenger, Payload } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { RingNode } from '../ring/topology.ts'
import type { Truncations } from './coordinator.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import { isReplicaFailure, reasonName } from './request-errors.ts'
import type { TruncationMarks } from './truncation-marks.ts'
import { putMicros, readMicros } from './write-messages.ts'

/** Nodes may join between one and the next. */
const ATTEMPTS = 3
const NOTHING = { micros: 0, epoch: 0 } as const

export class Truncation implements Truncations {
  readonly #environment: CoordinatorEnvironment
  readonly #marks: TruncationMarks

  constructor(environment: CoordinatorEnvironment, marks: TruncationMarks) {
    this.#environment = environment
    this.#marks = marks
  }

  register(messenger: Messenger): void {
    messenger.handle(Verb.TRUNCATE, (message) => this.#serve(message))
  }

  async truncate(table: string): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) if (await this.#attempt(table)) return
    throw refused('The ring is changing')
  }

  /** False: there are other nodes than this one knew of, and nothing was done. */
  async #attempt(table: string): Promise<boolean> {
    const { liveness } = this.#environment
    const self = this.#environment.self()
    const nodes = [...this.#environment.nodes().values()]
    const isAlive = (hostId: string): boolean => hostId === self.hostId || liveness.isAlive(hostId)
    // Cassandra looks before it sends anything, and tells it so, not as UNAVAILABLE.
    if (!nodes.every(({ hostId }) => isAlive(hostId)))
      throw refused(`Cannot achieve consistency level ${consistencyName(Consistency.ALL)}`)
    try {
      return await this.#truncate(nodes, self, table)
    } finally {
      await this.#end(nodes, self, table)
    }
  }

  async #truncate(nodes: readonly RingNode[], self: RingNode, table: string): Promise<boolean> {
    const question = encodeRequest(table, Step.BEGIN, 0)
    const clocks = await this.#ofAll(nodes, (node) =>
      node.hostId === self.hostId ? this.#ownClock(node.endpoint, table) : this.#ask(node, question),
    )
    let latest = 0
    let epoch = 0
    for (const answer of clocks) {
      latest = Math.max(latest, answer.micros)
      epoch = Math.max(epoch, answer.epoch)
    }
    if (epoch > this.#environment.epoch()) await this.#environment.catchUp(epoch)
    const known = new Set(nodes.map(({ hostId }) => hostId))
    for (const hostId of this.#environment.nodes().keys()) if (!known.has(hostId)) return false
    const emptied = await this.#order(nodes, self, table, Step.EMPTY, latest)
    if (this.#viewsOf(table).length === 0) return true
    const later = emptied.reduce((most, { micros }) => Math.max(most, micros), latest)
    await this.#order(nodes, self, table, Step.VIEWS, later)
    return true
  }

  #order(
    nodes: readonly RingNode[],
    self: RingNode,
    table: string,
    step: EmptyStep,
    micros: number,
  ): Promise<Answer[]> {
    const atMs = Math.ceil(micros / 1000)
    const order = encodeRequest(table, step, atMs)
    return this.#ofAll(nodes, (node) =>
      node.hostId === self.hostId ? this.#here(node.endpoint, table, step, atMs) : this.#ask(node, order),
    )
  }

  /** Who does not hear of it takes it for ended after a while. */
  async #end(nodes: readonly RingNode[], self: RingNode, table: string): Promise<void> {
    const word = encodeRequest(table, Step.END, 0)
    const { writeMs } = this.#environment.timeouts
    await Promise.all(
      nodes.map(async (node) => {
        if (node.hostId === self.hostId) this.#ended(table)
        else await this.#ask(node, word, writeMs)
      }),
    )
  }

  async #ownClock(endpoint: Endpoint, table: string): Promise<Answer> {
    return { endpoint, reason: null, micros: this.#began(table), epoch: this.#environment.epoch() }
  }

  /** What the clock says. */
  #began(table: string): number {
    const now = this.#environment.timestampMicros()
    const until = now + 2 * this.#environment.timeouts.truncateMs * 1000
    for (const id of this.#withViews(table)) this.#marks.begin(id, until)
    return now
  }

  #ended(table: string): void {
    const now = this.#environment.timestampMicros()
    for (const id of this.#withViews(table)) this.#marks.end(id, now)
    // Of two at once the last one to end: what is brought before the other has emptied the views everywhere may be lost again.
    if (!this.#marks.isUnderWay(table, now)) this.#environment.replica.fillViews?.(table)
  }

  #viewsOf(table: string): readonly string[] {
    return this.#environment.viewsOf?.(table) ?? []
  }

  #withViews(table: string): readonly string[] {
    return [table, ...this.#viewsOf(table)]
  }

  #ask({ endpoint }: RingNode, payload: Buffer, timeoutMs = this.#environment.timeouts.truncateMs): Promise<Answer> {
    const { messenger } = this.#environment
    return new Promise((resolve) => {
      messenger.request(endpoint, Verb.TRUNCATE, payload, timeoutMs, {
        replied: (_from, answer) =>
          resolve({ endpoint, reason: null, ...(answer.length === 0 ? NOTHING : readBeginning(answer)) }),
        failed: (_from, reason) => resolve({ endpoint, reason, ...NOTHING }),
      })
    })
  }

  /** The answers of all; throws what the client is told when one fails or is late: this node's own part may take its time, too. */
  async #ofAll(nodes: readonly RingNode[], ask: (node: RingNode) => Promise<Answer>): Promise<Answer[]> {
    const { clock, timeouts } = this.#environment
    const given = nodes.map(({ endpoint }): Answer => ({ endpoint, reason: FailureReason.TIMEOUT, ...NOTHING }))
    let timer: Disposable | null = null
    const late = new Promise<void>((resolve) => {
      timer = clock.after(timeouts.truncateMs, resolve)
    })
    const all = Promise.all(
      nodes.map(async (node, i) => {
        given[i] = await ask(node)
      }),
    )
    try {
      await Promise.race([all, late])
    } finally {
      ;(timer as Disposable | null)?.[Symbol.dispose]()
    }
    const failed = given.find(({ reason }) => reason !== null && !isSilence(reason))
    if (failed) throw refused(`Truncate failed on replica /${failed.endpoint}`)
    const done = given.filter(({ reason }) => reason === null).length
    if (done < nodes.length) throw refused(`Truncate timed out - received only ${done} responses`)
    return given
  }

  async #here(endpoint: Endpoint, table: string, step: EmptyStep, atMs: number): Promise<Answer> {
    try {
      const micros = await this.#empty(table, step, atMs)
      return { endpoint, reason: null, micros, epoch: 0 }
    } catch (cause) {
      if (!isReplicaFailure(cause)) throw cause
      this.#environment.report(cause)
      return { endpoint, reason: FailureReason.UNKNOWN, ...NOTHING }
    }
  }

  async #serve({ payload, epoch }: Incoming): Promise<Payload | undefined> {
    const { table, step, atMs } = readRequest(payload)
    const id = uuidBytes(table).toString('latin1')
    if (this.#environment.keyspaceOf(id) === null && epoch > this.#environment.epoch())
      await this.#environment.catchUp(epoch)
    if (this.#environment.keyspaceOf(id) === null)
      throw failure(FailureReason.INCOMPATIBLE_SCHEMA, `table ${table} is unknown here`)
    if (step === Step.BEGIN) return encodeBeginning(this.#began(table), this.#environment.epoch())
    if (step === Step.END) {
      this.#ended(table)
      return undefined
    }
    try {
      return encodeBeginning(await this.#empty(table, step, atMs), this.#environment.epoch())
    } catch (cause) {
      if (cause instanceof ReplicaFailure || !isReplicaFailure(cause)) throw cause
      this.#environment.report(cause)
      throw Object.assign(failure(FailureReason.UNKNOWN, cause.message), { cause })
    }
  }

  /** What comes late is refused first, so that none of it comes in between. Answers what the clock says after that. */
  async #empty(table: string, step: EmptyStep, atMs: number): Promise<number> {
    const { replica } = this.#environment
    this.#environment.observe(atMs * 1000)
    for (const id of step === Step.EMPTY ? [table] : this.#viewsOf(table)) this.#marks.set(id, atMs * 1000)
    if (step === Step.EMPTY) await replica.truncate(table, atMs)
    else await replica.truncateViews?.(table, atMs)
    return this.#environment.timestampMicros()
  }
}

interface Answer {
  readonly endpoint: Endpoint
  /** Null: it did what it was asked. */
  readonly reason: number | null
  /** Its clock, if that was asked for. */
  readonly micros: number
  /** That of the metadata that it has, likewise. */
  readonly epoch: number
}

function isSilence(reason: number): boolean {
  return reason === FailureReason.TIMEOUT || reason === FailureReason.NODE_DOWN
}

function refused(why: string): RequestError {
  return new RequestError('TRUNCATE_ERROR', `Error during truncate: ${why}`)
}

function failure(reason: number, message: string): ReplicaFailure {
  return new ReplicaFailure(reasonName(reason), reason, message)
}

/**
 * TRUNCATE := table id 16 | step u8 | time 8 (µs, a whole number of ms; of EMPTY and VIEWS). All but END are answered with what the clock says then, 8 bytes of
 * µs, and an epoch u32.
 */
const Step = { BEGIN: 0, EMPTY: 1, END: 2, VIEWS: 3 } as const
type EmptyStep = typeof Step.EMPTY | typeof Step.VIEWS

function encodeRequest(table: string, step: number, atMs: number): Buffer {
  return Buffer.concat([uuidBytes(table), Buffer.of(step), encodeMicros(atMs * 1000)])
}

function encodeBeginning(micros: number, epoch: number): Buffer {
  const out = new ByteWriter(12)
  putMicros(out, micros)
  out.int32(epoch)
  return out.copy()
}

function readBeginning(answer: Buffer): Pick<Answer, 'micros' | 'epoch'> {
  const reader = new ByteReader(answer)
  return { micros: readMicros(reader), epoch: reader.uint32() }
}

function encodeMicros(micros: number): Buffer {
  const out = new ByteWriter(8)
  putMicros(out, micros)
  return out.copy()
}

function readRequest(payload: Buffer): { table: string; step: (typeof Step)[keyof typeof Step]; atMs: number } {
  const reader = new ByteReader(payload)
  const table = uuidText(reader.view(TABLE_ID_BYTES))
  const step = reader.uint8()
  if (step > Step.VIEWS) throw new BytesError(`step ${step} of a truncation`)
  return { table, step: step as (typeof Step)[keyof typeof Step], atMs: readMicros(reader) / 1000 }
}
