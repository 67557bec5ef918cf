/**
 * One write under way: mutations that all go to the same replicas. Objects of it are used again and again, with the memory that they have,
 * so that a write allocates next to nothing.
 * Always: it is used anew only when every replica was heard of or given up; a replica that did not acknowledge has a hint by then.
 * Who refuses it because the ring has changed since it was planned makes it being written again, by the new ring, to all who are its replicas then; what was
 * acknowledged by enough of the former ones is done all the same.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, RequestError } from '../../lib/base/errors.ts'
import { readInt32 } from '../../storage/model/row.ts'
import { encodeStandInHead } from '../hints/messages.ts'
import type { Endpoint, ReplyHandler } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { isPast, StillBehindError } from './behind.ts'
import type { Deadlines, Waiting } from './deadlines.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import { isReplicaFailure, reasonOf } from './request-errors.ts'
import { Tally, type Verdict } from './tally.ts'
import { putMutation, putMutationHead } from './write-messages.ts'
import type { WritePlan, WriteTarget } from './write-plan.ts'

/** What was refused by who knows of a later ring. */
export interface PastWrite {
  /** Copies. */
  readonly mutations: readonly Buffer[]
  /** Of one of them: their levels and epochs are the same. */
  readonly plan: WritePlan
  readonly kind: string
  /** When it began: it is no later write for being written again. */
  readonly writtenAt: number
  /** Of the clock that never goes back. */
  readonly deadlineMs: number
}

/** What pending writes share. */
export interface WriteShop {
  readonly environment: CoordinatorEnvironment
  readonly deadlines: Deadlines
  /** A name under which `forwardedDone` finds the write; it is taken back with `forget`. */
  name(write: PendingWrite): Buffer
  forget(write: PendingWrite): void
  /** Resolves when it is written by the ring as it is now. Rejects with what the client is told; with a StillBehindError when nothing is known of that ring. */
  again(past: PastWrite): Promise<void>
  /** As the node's replica applies, but what was truncated since it began is not taken. */
  applyLate(mutations: readonly Buffer[], writtenAt: number): Promise<void> | undefined
  /** It is done with, and may be used for another. */
  release(write: PendingWrite): void
}

/** Memory beyond it is given back. */
const BYTES_KEPT = 64 * 1024
const NOBODY: readonly WriteTarget[] = []
const NOTHING = Buffer.alloc(0)

export class PendingWrite implements ReplyHandler, Waiting {
  deadlineMs = 0
  earlier: Waiting | null = null
  later: Waiting | null = null
  isWaiting = false

  /** Its name while others may hand on for it. */
  writeId: Buffer | null = null

  readonly #shop: WriteShop
  readonly #tally = new Tally()
  readonly #head = new ByteWriter(64)
  /** The mutations as they are sent, and kept for hints. */
  #body = new ByteWriter(1024)
  #bodyView: Buffer = NOTHING
  readonly #payload: Buffer[] = [NOTHING, NOTHING]
  #headView: Buffer = NOTHING
  #plan: WritePlan | null = null
  #kind = ''
  #writtenAt = 0
  /** Replicas not heard of, by slot. */
  #silent = 0
  /** Slots of those to whom others were to hand it on. */
  #forwarded = 0
  /** Slots of those who refused it for the sake of a later ring. */
  #refused = 0
  /** Whether it is being written, or was, by the ring as it is now. */
  #again: 'no' | 'under way' | 'done' = 'no'
  /** By the ring as it was it cannot be met any more. */
  #isLost = false
  #settled = true
  /** It is not used anew before `begin` has returned. */
  #isBeginning = false
  #turn = 0
  #failure: Error | null = null
  #resolve: (() => void) | null = null
  #reject: ((error: Error) => void) | null = null
  readonly #executor = (resolve: () => void, reject: (error: Error) => void): void => {
    this.#resolve = resolve
    this.#reject = reject
  }
  readonly #ownDone = (): void => this.#acked(this.#plan!.self!)
  readonly #ownFailed = (cause: unknown): void => this.#ownFailure(cause)

  constructor(shop: WriteShop) {
    this.#shop = shop
  }

  /**
   * Undefined: it is done already. Throws what the client is to be told. `here`: this node's replica has it, for good when that resolves (undefined:
   * already); only the others are to get it. `writtenAt`: when it began, if that was earlier.
   */
  begin(
    plan: WritePlan,
    mutations: readonly Buffer[],
    kind: string,
    here: { readonly durable: Promise<void> | undefined } | null = null,
    writtenAt = 0,
  ): Promise<void> | undefined {
    const { environment, deadlines } = this.#shop
    this.#plan = plan
    this.#kind = kind
    this.#tally.begin(plan)
    this.#settled = false
    this.#isBeginning = true
    this.#failure = null
    this.#resolve = null
    this.#reject = null
    this.#silent = 2 ** plan.targets.length - 1
    this.#forwarded = 0
    this.#refused = 0
    this.#again = 'no'
    this.#isLost = false
    this.#writtenAt = writtenAt === 0 ? environment.timestampMicros() : writtenAt
    const body = this.#body
    body.reset()
    for (let i = 0; i < mutations.length; i++) putMutation(body, mutations[i]!)
    if (this.#bodyView.length !== body.length || this.#bodyView.buffer !== body.buffer.buffer)
      this.#bodyView = body.view()
    deadlines.add(this)
    if (plan.self !== null) {
      if (here === null) this.#applyHere(mutations)
      else if (here.durable === undefined) this.#acked(plan.self)
      else here.durable.then(this.#ownDone, this.#ownFailed)
    }
    this.#send(plan)
    if (plan.standIns.length > 0) this.#sendToStandIns(plan)
    for (let i = 0; i < plan.dead.length; i++) this.#hint(plan.dead[i]!)
    this.#isBeginning = false
    this.#releaseIfDone()
    if (!this.#settled) return new Promise(this.#executor)
    if (this.#failure !== null) throw this.#failure
    return undefined
  }

  #applyHere(mutations: readonly Buffer[]): void {
    try {
      const done = this.#shop.environment.replica.apply(mutations)
      if (done === undefined) this.#acked(this.#plan!.self!)
      else done.then(this.#ownDone, this.#ownFailed)
    } catch (cause) {
      this.#ownFailure(cause)
    }
  }

  #send(plan: WritePlan): void {
    const { direct, remote } = plan
    if (direct.length > 0) {
      this.#writeHead(NOBODY)
      for (let i = 0; i < direct.length; i++) this.#request(direct[i]!)
    }
    for (let i = 0; i < remote.length; i++) {
      const group = remote[i]!
      const relay = group[this.#turn++ % group.length]!
      const others = group.filter((target) => target !== relay)
      this.writeId ??= this.#shop.name(this)
      for (const { slot } of others) this.#forwarded |= 1 << slot
      this.#writeHead(others)
      this.#request(relay)
    }
  }

  /** They keep it as hints, and acknowledge that. */
  #sendToStandIns({ standIns }: WritePlan): void {
    const { messenger, timeouts } = this.#shop.environment
    for (const { endpoint, standsFor } of standIns) {
      const head = encodeStandInHead(standsFor!, this.#writtenAt)
      messenger.request(endpoint, Verb.STAND_IN, [head, this.#bodyView], timeouts.writeMs, this)
    }
  }

  #writeHead(others: readonly WriteTarget[]): void {
    const head = this.#head
    head.reset()
    putMutationHead(head, this.#writtenAt, this.writeId, others)
    if (this.#headView.length !== head.length || this.#headView.buffer !== head.buffer.buffer)
      this.#headView = head.view()
    this.#payload[0] = this.#headView
    this.#payload[1] = this.#bodyView
  }

  #request({ endpoint }: WriteTarget): void {
    const { messenger, timeouts } = this.#shop.environment
    messenger.request(endpoint, Verb.MUTATION, this.#payload, timeouts.writeMs, this)
  }

  replied(from: Endpoint): void {
    const target = this.#targetAt(from)
    if (target !== null) this.#acked(target)
  }

  failed(from: Endpoint, reason: number): void {
    const target = this.#targetAt(from)
    if (target === null) return
    if (reason === FailureReason.NODE_DOWN && this.#forwarded !== 0) this.#sendPast(target)
    this.#failedAt(target, reason)
  }

  /** What a replica to whom another handed it on says of it, with the epoch that it has. */
  forwardedDone(from: Endpoint, reason: number | null, epoch: number): void {
    const target = this.#targetAt(from)
    if (target === null) return
    const { environment } = this.#shop
    if (reason === null) this.#acked(target)
    else if (reason !== FailureReason.COORDINATOR_BEHIND || epoch > environment.epoch() || this.#isPast())
      this.#failedAt(target, reason)
    else {
      // It is not this node that lags, but who handed it on.
      this.#forwarded &= ~(1 << target.slot)
      this.#writeHead(NOBODY)
      this.#request(target)
    }
  }

  #isPast(): boolean {
    return isPast(this.#shop.environment, this.#plan!.epoch)
  }

  /** Null: it was heard of already. */
  #targetAt(endpoint: Endpoint): WriteTarget | null {
    const { targets } = this.#plan!
    for (let i = 0; i < targets.length; i++)
      if (targets[i]!.endpoint === endpoint) return (this.#silent & (1 << i)) === 0 ? null : targets[i]!
    return null
  }

  /** Who was to hand on never got it: the others are sent to directly. */
  #sendPast(relay: WriteTarget): void {
    const group = this.#plan!.remote.find((targets) => targets.includes(relay))
    if (group === undefined || (this.#forwarded & (1 << relay.slot)) !== 0) return
    this.#writeHead(NOBODY)
    for (const target of group) {
      const bit = 1 << target.slot
      if (target === relay || (this.#forwarded & bit) === 0 || (this.#silent & bit) === 0) continue
      this.#forwarded &= ~bit
      if (this.#isPast()) this.#failedAt(target, FailureReason.COORDINATOR_BEHIND)
      else this.#request(target)
    }
  }

  #acked({ slot, group }: WriteTarget): void {
    this.#silent &= ~(1 << slot)
    this.#judge(this.#tally.ack(group))
    this.#releaseIfDone()
  }

  #failedAt({ slot, group, endpoint, hostId, standsFor }: WriteTarget, reason: number): void {
    this.#silent &= ~(1 << slot)
    if (reason === FailureReason.COORDINATOR_BEHIND) {
      this.#refused |= 1 << slot
      this.#beginAgain()
    }
    this.#judge(this.#tally.fail(group, endpoint, reason))
    if (reason === FailureReason.COORDINATOR_BEHIND) {
      this.#releaseIfDone()
      return
    }
    if (slot !== this.#plan!.self?.slot) this.#hint(standsFor ?? hostId)
    this.#releaseIfDone()
  }

  /** Until it has ended this object is not used for another. */
  #beginAgain(): void {
    if (this.#again !== 'no') return
    this.#again = 'under way'
    const { deadlineMs } = this
    const mutations = mutationsIn(Buffer.from(this.#body.view()))
    const past = { mutations, plan: this.#plan!, kind: this.#kind, writtenAt: this.#writtenAt, deadlineMs }
    this.#shop.again(past).then(
      () => {
        this.#again = 'done'
        this.#settle(null)
        this.#releaseIfDone()
      },
      (cause: unknown) => this.#notAgain(cause as Error),
    )
  }

  #notAgain(cause: Error): void {
    this.#again = 'no'
    const refused = this.#refused
    this.#refused = 0
    for (const { slot, hostId, standsFor } of this.#plan!.targets)
      if ((refused & (1 << slot)) !== 0) this.#hint(standsFor ?? hostId)
    if (this.#isLost) this.#settle(cause instanceof StillBehindError ? this.#tally.error(this.#kind) : cause)
    this.#releaseIfDone()
  }

  /** What is wrong with the statement is told as it is; what is wrong here is a failure of one replica. */
  #ownFailure(cause: unknown): void {
    const isForClient = cause instanceof RequestError || !isReplicaFailure(cause)
    if (isForClient && !this.#settled) this.#settle(cause as Error)
    else this.#shop.environment.report(cause as Error)
    this.#failedAt(this.#plan!.self!, reasonOf(cause))
  }

  #judge(verdict: Verdict): void {
    if (verdict === 'met') this.#settle(null)
    else if (verdict === 'lost') {
      this.#isLost = true
      if (this.#again !== 'under way') this.#settle(this.#tally.error(this.#kind))
    }
  }

  #settle(failure: Error | null): void {
    if (this.#settled) return
    this.#settled = true
    this.#failure = failure
    this.#tally.end()
    if (failure === null) this.#resolve?.()
    else this.#reject?.(failure)
  }

  /** Nobody hears of replicas that others were to hand it on to but here. */
  expired(): void {
    if (!this.#settled) this.#settle(this.#tally.timeout(this.#kind))
    const { targets } = this.#plan!
    const late = this.#forwarded & this.#silent
    for (let i = 0; i < targets.length; i++)
      if ((late & (1 << i)) !== 0) this.#failedAt(targets[i]!, FailureReason.TIMEOUT)
    this.#releaseIfDone()
  }

  /** Keeps the mutations for a node that has not got them. */
  #hint(hostId: string): void {
    const { hints, report } = this.#shop.environment
    if (!hints.mayStore(hostId)) return
    const counts = this.#plan!.hintCounts && !this.#settled
    let kept: Promise<void> | null = null
    for (const mutation of mutationsIn(this.#body.view())) {
      const done = hints.store(hostId, mutation, this.#writtenAt)
      if (done !== undefined) kept = kept === null ? done : both(kept, done)
    }
    if (!counts) kept?.catch(report)
    else if (kept === null) this.#judge(this.#tally.ack(0))
    else {
      const tally = this.#tally
      const plan = this.#plan
      const writtenAt = this.#writtenAt
      const isThis = (): boolean => this.#plan === plan && this.#writtenAt === writtenAt
      kept.then(() => {
        if (isThis()) this.#judge(tally.ack(0))
      }, report)
    }
  }

  #releaseIfDone(): void {
    if (!this.#settled || this.#silent !== 0 || this.#isBeginning || this.#plan === null) return
    if (this.#again === 'under way') return
    const { deadlines } = this.#shop
    deadlines.remove(this)
    if (this.writeId !== null) {
      this.#shop.forget(this)
      this.writeId = null
    }
    this.#plan = null
    if (this.#body.buffer.length > BYTES_KEPT) {
      this.#body = new ByteWriter(1024)
      this.#bodyView = NOTHING
    }
    this.#shop.release(this)
  }
}

/** Of a body as it is sent: views. */
function mutationsIn(body: Buffer): Buffer[] {
  const mutations: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 4 + readInt32(body, at)
    mutations.push(body.subarray(at + 4, end))
    at = end
  }
  return mutations
}

async function both(one: Promise<void>, other: Promise<void>): Promise<void> {
  await Promise.all([one, other])
}
