/**
 * TRUNCATE in a cluster: every node empties its part of the table. Source: Cassandra's StorageProxy.truncateBlocking: all nodes must be alive.
 * The coordinator names a time by the hybrid clock. Every node that hears of it has a clock beyond that time from then on, so a write that begins
 * after the truncation has ended is later; a replica takes nothing that began before (TruncationMarks), however late it comes, and does not
 * acknowledge it either.
 * Always: nothing that was acknowledged before the truncation began is there after it ended; nothing acknowledged after it ended is lost.
 */
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { Consistency, consistencyName } from '../../lib/types/consistency.ts'
import type { Endpoint, Incoming, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import type { Truncations } from './coordinator.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import { isReplicaFailure, reasonName } from './request-errors.ts'
import type { TruncationMarks } from './truncation-marks.ts'
import { putMicros, readMicros } from './write-messages.ts'

const TABLE_ID_BYTES = 16

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
    const { liveness, messenger, timeouts } = this.#environment
    const self = this.#environment.self()
    const nodes = [...this.#environment.nodes().values()]
    const isAlive = (hostId: string): boolean => hostId === self.hostId || liveness.isAlive(hostId)
    // Cassandra looks before it sends anything, and tells it so, not as UNAVAILABLE.
    if (!nodes.every(({ hostId }) => isAlive(hostId)))
      throw refused(`Cannot achieve consistency level ${consistencyName(Consistency.ALL)}`)
    const atMs = await this.#time()
    const payload = encodeTruncation(table, atMs)
    const answers = nodes.map(({ hostId, endpoint }) =>
      hostId === self.hostId
        ? this.#here(endpoint, table, atMs)
        : new Promise<Answer>((resolve) => {
            messenger.request(endpoint, Verb.TRUNCATE, payload, timeouts.truncateMs, {
              replied: () => resolve({ endpoint, reason: null }),
              failed: (_from, reason) => resolve({ endpoint, reason }),
            })
          }),
    )
    const given = await this.#allInTime(answers)
    const failed = given.find(({ reason }) => reason !== null && !isSilence(reason))
    if (failed) throw refused(`Truncate failed on replica /${failed.endpoint}`)
    const done = given.filter(({ reason }) => reason === null).length
    if (done < nodes.length) throw refused(`Truncate timed out - received only ${done} responses`)
  }

  /** A whole number of milliseconds, at which all that was acknowledged so far began; the clock is beyond it. */
  async #time(): Promise<number> {
    const { clock } = this.#environment
    const atMs = Math.ceil(this.#environment.timestampMicros() / 1000)
    while (this.#environment.timestampMicros() <= atMs * 1000)
      await new Promise<void>((resolve) => clock.after(1, resolve))
    return atMs
  }

  async #here(endpoint: Endpoint, table: string, atMs: number): Promise<Answer> {
    try {
      await this.#empty(table, atMs)
      return { endpoint, reason: null }
    } catch (cause) {
      if (!isReplicaFailure(cause)) throw cause
      this.#environment.report(cause)
      return { endpoint, reason: FailureReason.UNKNOWN }
    }
  }

  /** Those that have not answered in time count as silent: this node's own part may take its time, too. */
  async #allInTime(answers: readonly Promise<Answer>[]): Promise<Answer[]> {
    const { clock, timeouts } = this.#environment
    const given: Answer[] = answers.map(() => ({ endpoint: '', reason: FailureReason.TIMEOUT }))
    let timer: Disposable | null = null
    const late = new Promise<void>((resolve) => {
      timer = clock.after(timeouts.truncateMs, resolve)
    })
    const all = Promise.all(
      answers.map(async (answer, i) => {
        given[i] = await answer
      }),
    )
    try {
      await Promise.race([all, late])
    } finally {
      ;(timer as Disposable | null)?.[Symbol.dispose]()
    }
    return given
  }

  async #serve({ payload, epoch }: Incoming): Promise<undefined> {
    const { table, atMs } = readTruncation(payload)
    const id = uuidBytes(table).toString('latin1')
    if (this.#environment.keyspaceOf(id) === null && epoch > this.#environment.epoch())
      await this.#environment.catchUp(epoch)
    if (this.#environment.keyspaceOf(id) === null)
      throw failure(FailureReason.INCOMPATIBLE_SCHEMA, `table ${table} is unknown here`)
    try {
      await this.#empty(table, atMs)
    } catch (cause) {
      if (cause instanceof ReplicaFailure || !isReplicaFailure(cause)) throw cause
      this.#environment.report(cause)
      throw Object.assign(failure(FailureReason.UNKNOWN, cause.message), { cause })
    }
    return undefined
  }

  /** What comes late is refused first, so that none of it comes in between. */
  async #empty(table: string, atMs: number): Promise<void> {
    this.#environment.observe(atMs * 1000)
    this.#marks.set(table, atMs * 1000)
    await this.#environment.replica.truncate(table, atMs)
  }
}

interface Answer {
  readonly endpoint: Endpoint
  /** Null: its part is empty. */
  readonly reason: number | null
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

/** table id 16 | time 8 (µs, a whole number of ms) */
function encodeTruncation(table: string, atMs: number): Buffer {
  const out = new ByteWriter(32)
  out.bytes(uuidBytes(table))
  putMicros(out, atMs * 1000)
  return out.copy()
}

function readTruncation(payload: Buffer): { table: string; atMs: number } {
  const reader = new ByteReader(payload)
  return { table: uuidText(reader.view(TABLE_ID_BYTES)), atMs: readMicros(reader) / 1000 }
}
