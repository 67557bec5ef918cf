/**
 * One write of several partitions under way: each replica gets all that is for it in one message, applied as one record, and acknowledges all of
 * it at once; each partition needs its level's acknowledgements. Messages to other data centres go to each replica directly: what they hold differs.
 * When somebody refuses it because the ring has changed since it was planned, all of it is written again, by the new ring.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, RequestError } from '../../lib/base/errors.ts'
import type { Endpoint, ReplyHandler } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { StillBehindError } from './behind.ts'
import type { Waiting } from './deadlines.ts'
import type { WriteShop } from './pending-write.ts'
import { isReplicaFailure, reasonOf } from './request-errors.ts'
import { Tally, type Verdict } from './tally.ts'
import { putMutation, putMutationHead } from './write-messages.ts'
import type { WritePlan } from './write-plan.ts'

/** What one replica gets, and which partitions' acknowledgements it can give. */
interface Share {
  readonly hostId: string
  readonly endpoint: Endpoint
  readonly isSelf: boolean
  readonly mutations: Buffer[]
  readonly counts: { readonly tally: Tally; readonly group: number }[]
  isSilent: boolean
}

export class BatchWrite implements ReplyHandler, Waiting {
  deadlineMs = 0
  earlier: Waiting | null = null
  later: Waiting | null = null
  isWaiting = false

  readonly #shop: WriteShop
  readonly #kind: string
  readonly #writtenAt: number
  readonly #plans: readonly WritePlan[]
  readonly #mutations: readonly Buffer[]
  /** It was planned, and perhaps written, by another ring before. */
  readonly #isLate: boolean
  /** Whether it is being written, or was, by the ring as it is now. */
  #again: 'no' | 'under way' | 'done' = 'no'
  /** By the ring as it was it cannot be met any more: what the client is told then. */
  #lost: Error | null = null
  readonly #shares = new Map<Endpoint, Share>()
  /** Those who refused it for the sake of a later ring. */
  #refused: Share[] = []
  /** By host id: replicas that are not alive. */
  readonly #dead = new Map<string, Share>()
  #open = 0
  #settled = false
  readonly done: Promise<void>
  #resolve: () => void = () => {}
  #reject: (error: Error) => void = () => {}

  /** The mutations are the batch's own from now on. `plans`: of each of them; their levels can be met. `writtenAt`: when it began, if that was by another ring. */
  constructor(
    shop: WriteShop,
    plans: readonly WritePlan[],
    mutations: readonly Buffer[],
    kind: string,
    writtenAt: number | null = null,
  ) {
    this.#shop = shop
    this.#kind = kind
    this.#plans = plans
    this.#mutations = mutations
    this.#isLate = writtenAt !== null
    this.#writtenAt = writtenAt ?? shop.environment.timestampMicros()
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    const tallies = new Map<WritePlan, Tally>()
    plans.forEach((plan, i) => {
      let tally = tallies.get(plan)
      const isNew = tally === undefined
      if (tally === undefined) {
        tally = new Tally().begin(plan)
        tallies.set(plan, tally)
      }
      for (const target of plan.targets) {
        const share = shareOf(this.#shares, target.endpoint, target.hostId, target === plan.self)
        share.mutations.push(mutations[i]!)
        if (isNew) share.counts.push({ tally, group: target.group })
      }
      for (const hostId of plan.dead) {
        const share = shareOf(this.#dead, hostId, hostId, false)
        share.mutations.push(mutations[i]!)
        if (isNew) share.counts.push({ tally, group: -1 })
      }
    })
    this.#open = tallies.size
  }

  begin(): Promise<void> {
    const { environment, deadlines } = this.#shop
    deadlines.add(this)
    const head = new ByteWriter(64)
    putMutationHead(head, this.#writtenAt, null, [])
    for (const share of this.#shares.values()) {
      if (share.isSelf) continue
      const body = new ByteWriter(256)
      for (const mutation of share.mutations) putMutation(body, mutation)
      const { messenger, timeouts } = environment
      messenger.request(share.endpoint, Verb.MUTATION, [head.view(), body.view()], timeouts.writeMs, this)
    }
    for (const share of this.#shares.values()) if (share.isSelf) this.#applyHere(share)
    for (const share of this.#dead.values()) this.#hint(share)
    return this.done
  }

  #applyHere(share: Share): void {
    try {
      const { environment, applyLate } = this.#shop
      const { mutations } = share
      const done = this.#isLate ? applyLate(mutations, this.#writtenAt) : environment.replica.apply(mutations)
      if (done === undefined) this.#acked(share)
      else
        done.then(
          () => this.#acked(share),
          (cause) => this.#ownFailure(share, cause),
        )
    } catch (cause) {
      this.#ownFailure(share, cause)
    }
  }

  replied(from: Endpoint): void {
    const share = this.#shares.get(from)
    if (share?.isSilent) this.#acked(share)
  }

  failed(from: Endpoint, reason: number): void {
    const share = this.#shares.get(from)
    if (share?.isSilent) this.#failedAt(share, reason)
  }

  expired(): void {
    for (const share of this.#shares.values())
      for (const { tally } of share.counts) if (!tally.isOver) this.#settle(tally.timeout(this.#kind))
  }

  #acked(share: Share): void {
    share.isSilent = false
    for (const { tally, group } of share.counts) this.#judge(tally, tally.ack(group))
  }

  #failedAt(share: Share, reason: number): void {
    share.isSilent = false
    const isRefused = reason === FailureReason.COORDINATOR_BEHIND
    if (isRefused) this.#beginAgain()
    for (const { tally, group } of share.counts) this.#judge(tally, tally.fail(group, share.endpoint, reason))
    if (isRefused) this.#refused.push(share)
    else if (!share.isSelf) this.#hint(share)
  }

  #beginAgain(): void {
    if (this.#again !== 'no') return
    this.#again = 'under way'
    const { deadlineMs } = this
    const plan = this.#plans[0]!
    const past = { mutations: this.#mutations, plan, kind: this.#kind, writtenAt: this.#writtenAt, deadlineMs }
    this.#shop.again(past).then(
      () => {
        this.#again = 'done'
        this.#settle(null)
      },
      (cause: unknown) => this.#notAgain(cause as Error),
    )
  }

  #notAgain(cause: Error): void {
    this.#again = 'no'
    for (const share of this.#refused) this.#hint(share)
    this.#refused = []
    if (this.#lost !== null) this.#settle(cause instanceof StillBehindError ? this.#lost : cause)
  }

  #ownFailure(share: Share, cause: unknown): void {
    const isForClient = cause instanceof RequestError || !isReplicaFailure(cause)
    if (isForClient && !this.#settled) this.#settle(cause as Error)
    else this.#shop.environment.report(cause as Error)
    this.#failedAt(share, reasonOf(cause))
  }

  #judge(tally: Tally, verdict: Verdict): void {
    if (verdict === 'lost') {
      this.#lost ??= tally.error(this.#kind)
      if (this.#again !== 'under way') this.#settle(this.#lost)
    } else if (verdict === 'met' && --this.#open === 0) this.#settle(null)
  }

  #settle(failure: Error | null): void {
    if (this.#settled) return
    this.#settled = true
    this.#shop.deadlines.remove(this)
    if (failure === null) this.#resolve()
    else this.#reject(failure)
  }

  /** Keeps what a node has not got; at level ANY that is as good as an acknowledgement. */
  #hint({ hostId, mutations, counts }: Share): void {
    const { hints, report } = this.#shop.environment
    if (!hints.mayStore(hostId)) return
    const stored: Promise<void>[] = []
    for (const mutation of mutations) {
      const done = hints.store(hostId, mutation, this.#writtenAt)
      if (done !== undefined) stored.push(done)
    }
    const count = (): void => {
      for (const { tally } of counts) if (tally.hintCounts) this.#judge(tally, tally.ack(0))
    }
    if (stored.length === 0) count()
    else Promise.all(stored).then(count, report)
  }
}

function shareOf<K>(shares: Map<K, Share>, key: K, hostId: string, isSelf: boolean): Share {
  let share = shares.get(key)
  if (share === undefined) {
    share = { hostId, endpoint: String(key), isSelf, mutations: [], counts: [], isSilent: true }
    shares.set(key, share)
  }
  return share
}
