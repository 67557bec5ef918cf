/**
 * One read of several replicas, until its answer is agreed on. First one replica is asked for data and the others for digests of theirs; when these are
 * equal the data is the answer. Else all are asked for whole data, which is merged, and what a replica lacks of it is written there before
 * anybody learns the answer: whoever reads later at a quorum finds it, too.
 * Source: Cassandra's AbstractReadExecutor, DigestResolver, DataResolver and BlockingReadRepair.
 * Always: settled once. A replica that fails, or is slow, is made up for by one that was not asked, as long as there is one.
 */
import { BytesError } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { ReadCommand, ReadPoint, ReadResult } from '../../storage/model/command.ts'
import type { Endpoint, ReplyHandler } from '../internode/messenger.ts'
import { isBehind } from './behind.ts'
import { decodeAnswer, digestIn, digestOf, tombstonesIn } from './read-codec.ts'
import { pointAfter } from './read-merge.ts'
import type { ReadPlan, ReadReplica } from './read-plan.ts'
import type { ReadServices } from './read-services.ts'
import { isReplicaFailure, type ReplicaError, readFailure, readTimeout, reasonOf } from './request-errors.ts'

/** An answer, and where its command goes on; null: all of it is answered. */
export interface Answered {
  readonly result: ReadResult
  readonly next: ReadPoint | null
}

type Phase = 'digests' | 'data' | 'repair' | 'over'

interface Asked {
  readonly replica: ReadReplica
  readonly isData: boolean
  readonly sentMs: number
  state: 'waiting' | 'answered' | 'failed'
  /** Of data: the answer's bytes, kept. */
  answer: Buffer | null
  digest: Buffer | null
}

export interface PendingReadRequest {
  readonly command: ReadCommand
  readonly plan: ReadPlan
  /** Of the plan, as far as nobody else took one; absent: all of them. */
  readonly spares?: ReadReplica[]
  readonly verb: number
  readonly timeoutMs: number
  readonly blocksForRepair: boolean
}

export class PendingRead implements ReplyHandler {
  readonly #services: ReadServices
  readonly #request: PendingReadRequest
  readonly #beganMs: number
  readonly #beganMicros: number
  readonly #spares: ReadReplica[]
  readonly #asked: Asked[] = []
  #errors: ReplicaError[] = []
  #phase: Phase = 'digests'
  /** Of the replica that was asked for data first to answer. */
  #data: Asked | null = null
  #tombstones = 0
  readonly promise: Promise<Answered>
  #resolve: (answered: Answered) => void = () => {}
  #reject: (error: Error) => void = () => {}

  constructor(services: ReadServices, request: PendingReadRequest, nowMs: number) {
    this.#services = services
    this.#request = request
    this.#beganMs = nowMs
    this.#beganMicros = services.timestampMicros()
    this.#spares = request.spares ?? [...request.plan.spares]
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  get isOver(): boolean {
    return this.#phase !== 'digests'
  }

  /** Asks; the node itself last, while the others work. */
  begin(): void {
    const { contacts } = this.#request.plan
    if (this.#endsAsPast()) return
    for (let i = contacts.length - 1; i >= 0; i--) this.#ask(contacts[i]!, i === 0, this.#beganMs)
  }

  /**
   * The ring has changed since this was planned: whom it would ask now need not be those who hold what it reads. Who waits for it plans anew.
   */
  #endsAsPast(): boolean {
    if (!this.#services.isPast(this.#request.plan.epoch)) return false
    this.#refused(this.#services.endpoint)
    return true
  }

  /** By who knows of a later ring, and perhaps this node itself by now. */
  #refused(endpoint: Endpoint): void {
    this.#errors.push({ endpoint, reason: FailureReason.COORDINATOR_BEHIND })
    this.#fail(this.#error())
  }

  /** One more is asked: those that were are slow. */
  speculate(): void {
    if (this.isOver || this.#endsAsPast()) return
    const { clock, nearness } = this.#services
    const nowMs = clock.monotonicMs()
    const groups = new Set<number>()
    for (const { replica, state, sentMs } of this.#asked) {
      if (state !== 'waiting') continue
      groups.add(replica.group)
      // It takes that long at least: the next reads ask others first.
      nearness.replied(replica.endpoint, nowMs - sentMs)
    }
    const at = this.#spares.findIndex(({ group }) => groups.has(group))
    if (at < 0) {
      this.#services.counts.speculationsWithoutSpare++
      return
    }
    this.#services.counts.speculations++
    const [spare] = this.#spares.splice(at, 1)
    this.#ask(spare!, this.#data === null, nowMs)
  }

  #ask(replica: ReadReplica, isData: boolean, nowMs: number): void {
    const asked: Asked = { replica, isData, sentMs: nowMs, state: 'waiting', answer: null, digest: null }
    this.#asked.push(asked)
    this.#send(asked, isData, this.#phase === 'data' ? new DataReplies(this) : this, nowMs)
  }

  #send(asked: Asked, isData: boolean, handler: ReplyHandler, nowMs: number): void {
    const { command, verb, timeoutMs } = this.#request
    if (asked.replica.isSelf) {
      this.#readHere(asked)
      return
    }
    const leftMs = timeoutMs - (nowMs - this.#beganMs)
    this.#services.send(asked.replica.endpoint, verb, command, !isData, Math.max(1, leftMs), handler)
  }

  #readHere(asked: Asked): void {
    const { command } = this.#request
    try {
      const reading = this.#services.readHere(command)
      if (!(reading instanceof Promise)) {
        this.#answered(asked, reading)
        return
      }
      reading.then(
        (answer) => this.#answered(asked, answer),
        (cause: unknown) => this.#failedHere(asked, cause),
      )
    } catch (cause) {
      this.#failedHere(asked, cause)
    }
  }

  #failedHere(asked: Asked, cause: unknown): void {
    if (!isReplicaFailure(cause)) {
      this.#fail(cause as Error)
      return
    }
    if (!(cause instanceof ReplicaFailure)) this.#services.report(cause)
    this.#lost(asked, reasonOf(cause))
  }

  replied(from: Endpoint, payload: Buffer): void {
    if (this.#phase !== 'digests') return
    const asked = this.#waitingAt(from)
    if (asked === null) return
    this.#services.nearness.replied(from, this.#services.clock.monotonicMs() - asked.sentMs)
    // Views of this turn: what has to last is copied.
    this.#answered(asked, Buffer.from(payload))
  }

  failed(from: Endpoint, reason: number): void {
    if (this.#phase !== 'digests') return
    const asked = this.#waitingAt(from)
    if (asked !== null) this.#lost(asked, reason)
  }

  /** In the phase of whole data. */
  dataReplied(from: Endpoint, payload: Buffer): void {
    const asked = this.#phase === 'data' ? this.#waitingAt(from) : null
    if (asked !== null) this.#answered(asked, Buffer.from(payload))
  }

  dataFailed(from: Endpoint, reason: number): void {
    const asked = this.#phase === 'data' ? this.#waitingAt(from) : null
    if (asked !== null) this.#lost(asked, reason)
  }

  #waitingAt(endpoint: Endpoint): Asked | null {
    const asked = this.#asked
    for (let i = 0; i < asked.length; i++)
      if (asked[i]!.replica.endpoint === endpoint && asked[i]!.state === 'waiting') return asked[i]!
    return null
  }

  /** The bytes are its to keep. */
  #answered(asked: Asked, answer: Buffer): void {
    if (asked.state !== 'waiting' || this.#phase === 'over' || this.#phase === 'repair') return
    asked.state = 'answered'
    this.#tombstones = Math.max(this.#tombstones, tombstonesIn(answer))
    asked.digest = digestIn(answer)
    if (asked.digest === null) {
      asked.answer = answer
      if (this.#data === null) this.#data = asked
    }
    this.#check()
  }

  /** A replica will not answer. */
  #lost(asked: Asked, reason: number): void {
    if (asked.state !== 'waiting' || this.#phase === 'over' || this.#phase === 'repair') return
    asked.state = 'failed'
    const { endpoint, group } = asked.replica
    if (reason === FailureReason.COORDINATOR_BEHIND || this.#services.isPast(this.#request.plan.epoch)) {
      this.#refused(endpoint)
      return
    }
    this.#errors.push({ endpoint, reason })
    const { clock, counts, nearness } = this.#services
    const nowMs = clock.monotonicMs()
    if (reason === FailureReason.TIMEOUT) nearness.replied(endpoint, nowMs - this.#beganMs)
    const isInTime = nowMs - this.#beganMs < this.#request.timeoutMs
    // Too many tombstones here are too many there.
    const at = isInTime && reason !== FailureReason.READ_TOO_MANY_TOMBSTONES ? this.#spareOf(group) : -1
    if (at >= 0) {
      counts.failovers++
      const [spare] = this.#spares.splice(at, 1)
      this.#ask(spare!, this.#phase === 'data' || this.#isDataMissing(), nowMs)
      return
    }
    if (this.#isHopeless()) this.#fail(this.#error())
  }

  #spareOf(group: number): number {
    return this.#spares.findIndex((spare) => spare.group === group)
  }

  /** Nobody has sent data, nor will. */
  #isDataMissing(): boolean {
    return this.#data === null && !this.#asked.some(({ isData, state }) => isData && state === 'waiting')
  }

  /** Those who answered and those who may still are not enough. */
  #isHopeless(): boolean {
    const { needs } = this.#request.plan
    for (let group = 0; group < needs.length; group++) {
      let possible = 0
      for (const { replica, state } of this.#asked) if (replica.group === group && state !== 'failed') possible++
      if (possible < needs[group]!) return true
    }
    return this.#phase === 'digests' && this.#isDataMissing()
  }

  #error(): Error {
    const { level, blockFor } = this.#request.plan
    let received = 0
    for (const { state } of this.#asked) if (state === 'answered') received++
    const replies = { level, received: Math.min(received, blockFor), blockFor }
    const errors = this.#errors.filter(({ reason }) => reason !== FailureReason.TIMEOUT)
    const isDataPresent = this.#asked.some(({ answer }) => answer !== null)
    if (errors.length === 0) return readTimeout(replies, isDataPresent)
    return readFailure(replies, errors, isDataPresent)
  }

  #fail(error: Error): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#reject(error)
  }

  #isEnough(): boolean {
    const { needs, blockFor } = this.#request.plan
    const asked = this.#asked
    if (needs.length === 1) {
      let received = 0
      for (let i = 0; i < asked.length; i++) if (asked[i]!.state === 'answered') received++
      return received >= blockFor
    }
    return needs.every((need, group) => {
      let received = 0
      for (const { replica, state } of asked) if (replica.group === group && state === 'answered') received++
      return received >= need
    })
  }

  #check(): void {
    if (!this.#isEnough()) return
    if (this.#phase === 'data') {
      this.#merge()
      return
    }
    const data = this.#data
    if (data === null) {
      if (this.#isDataMissing()) this.#askForWhole()
      return
    }
    if (this.#request.plan.blockFor > 1 && !this.#areEqual(data)) {
      this.#services.counts.digestMismatches++
      this.#askForWhole()
      return
    }
    this.#finish(data.answer!)
  }

  #areEqual(data: Asked): boolean {
    let digest: Buffer | null = null
    for (const asked of this.#asked) {
      if (asked === data || asked.state !== 'answered') continue
      digest ??= digestOf(data.answer!)
      if (!digest.equals(asked.digest ?? digestOf(asked.answer!))) return false
    }
    return true
  }

  #finish(answer: Buffer): void {
    if (this.#phase === 'over') return
    try {
      const result = decodeAnswer(answer)
      this.#settle({ result, next: pointAfter(result, this.#request.command) })
    } catch (cause) {
      this.#refuse(cause)
    }
  }

  #settle({ result, next }: Answered): void {
    this.#phase = 'over'
    const tombstones = Math.max(this.#tombstones, result.tombstones)
    this.#resolve({ result: { ...result, tombstones }, next })
  }

  /** Bytes that cannot be understood: the replica is of another version, or worse. */
  #refuse(cause: unknown): void {
    if (!(cause instanceof BytesError)) {
      this.#fail(cause as Error)
      return
    }
    this.#services.report(cause)
    const { level, blockFor } = this.#request.plan
    const errors = [{ endpoint: this.#asked[0]!.replica.endpoint, reason: FailureReason.UNKNOWN }]
    this.#fail(readFailure({ level, received: 0, blockFor }, errors, false))
  }

  /** The second round: those that sent data have done their part. */
  #askForWhole(): void {
    if (this.#endsAsPast()) return
    this.#phase = 'data'
    const nowMs = this.#services.clock.monotonicMs()
    const handler = new DataReplies(this)
    const again = this.#asked.filter(({ state, answer }) => state !== 'failed' && answer === null)
    for (const asked of again) {
      asked.state = 'waiting'
      asked.digest = null
    }
    for (const asked of again) this.#send(asked, true, handler, nowMs)
    // All of them may be of speculation: then there is nobody to wait for.
    if (again.length === 0) this.#check()
  }

  #merge(): void {
    const { command, blocksForRepair } = this.#request
    const { counts } = this.#services
    const given = this.#asked.filter(({ answer }) => answer !== null)
    try {
      const answers = given.map(({ answer }) => decodeAnswer(answer!))
      const merged = this.#services.merge(answers, command)
      const lacking = given.filter((_, i) => merged.repairs[i]!.length > 0)
      if (lacking.length === 0 || !blocksForRepair) {
        this.#settle(merged)
        return
      }
      if (this.#endsAsPast()) return
      this.#phase = 'repair'
      counts.repairs++
      counts.repairedPartitions += merged.differing
      const done = given.map((asked, i) => ({ replica: asked.replica, mutations: merged.repairs[i]! }))
      this.#repair(done).then(
        () => this.#settle(merged),
        (error: Error) => {
          if (isBehind(error)) this.#refused(this.#services.endpoint)
          else this.#fail(error)
        },
      )
    } catch (cause) {
      this.#refuse(cause)
    }
  }

  /** Resolves when as many replicas as the level asks for have what was merged. */
  #repair(parts: readonly { readonly replica: ReadReplica; readonly mutations: readonly Buffer[] }[]): Promise<void> {
    const { needs, level, blockFor } = this.#request.plan
    const { clock, counts } = this.#services
    return new Promise((resolve, reject) => {
      const missing = [...needs]
      let waiting = 0
      let isOver = false
      const settled = (group: number, isDone: boolean): void => {
        if (isDone) missing[group]!--
        if (isOver) return
        if (missing.every((count) => count <= 0)) {
          isOver = true
          resolve()
        } else if (waiting === 0) {
          isOver = true
          counts.repairTimeouts++
          const left = missing.reduce((sum, count) => sum + Math.max(0, count), 0)
          reject(readTimeout({ level, received: blockFor - left, blockFor }, true))
        }
      }
      const leftMs = Math.max(1, this.#request.timeoutMs - (clock.monotonicMs() - this.#beganMs))
      const lacking = parts.filter(({ mutations }) => mutations.length > 0)
      waiting = lacking.length
      for (const { replica, mutations } of parts) if (mutations.length === 0) missing[replica.group]!--
      for (const { replica, mutations } of lacking)
        this.#services.repair(replica, mutations, this.#beganMicros, leftMs).then((isDone) => {
          waiting--
          settled(replica.group, isDone)
        }, reject)
    })
  }
}

/** Hears the answers of the second round: those of the first may still come. */
class DataReplies implements ReplyHandler {
  readonly #read: PendingRead

  constructor(read: PendingRead) {
    this.#read = read
  }

  replied(from: Endpoint, payload: Buffer): void {
    this.#read.dataReplied(from, payload)
  }

  failed(from: Endpoint, reason: number): void {
    this.#read.dataFailed(from, reason)
  }
}
