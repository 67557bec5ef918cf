/**
 * Keeps the metadata log able to decide: a member that is down for long gives its place to a node that is up, as long as a majority still is. Nobody has
 * to tell the cluster, and a second loss later finds it as strong as before the first.
 */
import type { Liveness } from '../../../cluster/gossip/liveness.ts'
import type { Clock, Log } from '../../runtime/runtime.ts'
import type { MetadataLog } from '../metadata-log.ts'

const SOURCE = 'member-care.ts'

/** Longer than a restart, or a machine's. */
const GONE_AFTER_MS = 10 * 60_000
const LOOK_EVERY_MS = 30_000

export interface MemberCareOptions {
  readonly metadata: Pick<MetadataLog, 'state' | 'replaceMembers'>
  readonly liveness: Pick<Liveness, 'isAlive'>
  readonly clock: Pick<Clock, 'after' | 'monotonicMs'>
  readonly log: Log
  readonly hostId: string
}

export class MemberCare {
  readonly #options: MemberCareOptions
  /** Since when members are down, in ms. */
  readonly #downSinceMs = new Map<string, number>()
  #timer: Disposable | null = null
  #closed = false

  constructor(options: MemberCareOptions) {
    this.#options = options
    this.#wait()
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
  }

  #wait(): void {
    if (this.#closed) return
    this.#timer = this.#options.clock.after(LOOK_EVERY_MS, () => void this.#look().finally(() => this.#wait()))
  }

  async #look(): Promise<void> {
    const { metadata, liveness, clock, hostId, log } = this.#options
    const { members } = metadata.state
    const nowMs = clock.monotonicMs()
    const isUp = (member: string): boolean => member === hostId || liveness.isAlive(member)
    for (const member of this.#downSinceMs.keys())
      if (!members.includes(member) || isUp(member)) this.#downSinceMs.delete(member)
    for (const member of members)
      if (!isUp(member) && !this.#downSinceMs.has(member)) this.#downSinceMs.set(member, nowMs)
    const isGone = (node: string): boolean => nowMs - (this.#downSinceMs.get(node) ?? nowMs) >= GONE_AFTER_MS
    // One of them sees to it; the others would only propose the same.
    if (members.find(isUp) !== hostId || !members.some(isGone)) return
    try {
      // Who is down, if not for long, is no better choice.
      await metadata.replaceMembers((node) => isGone(node) || (!members.includes(node) && !isUp(node)))
    } catch (error) {
      log.warn(SOURCE, `Members of the metadata log that are down could not be replaced: ${(error as Error).message}`)
    }
  }
}
