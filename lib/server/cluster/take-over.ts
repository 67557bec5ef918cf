/**
 * This node's part when another leaves the ring, or is removed: as soon as the metadata says so it fetches what it will hold, by itself, also after a
 * restart. Whoever sees the change through (removals.ts) asks how far it is.
 * Always: it says that it is sealed only when all is durable here and its sources promise that it stays so. They do that last, when all others are done,
 * too: from then on a write that does not come through to here is not acknowledged by them.
 */
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { leavingNode } from '../../../cluster/ring/topology.ts'
import {
  decodeQuestion,
  encodeReport,
  type TakeOverQuestion,
  type TakeOverReport,
} from '../../../cluster/streaming/messages.ts'
import { StreamError } from '../../../cluster/streaming/plan.ts'
import type { Clock, Log } from '../../runtime/runtime.ts'
import type { MetadataLog } from '../metadata-log.ts'

export interface TakeOverOptions {
  readonly messenger: Messenger
  readonly metadata: Pick<MetadataLog, 'state' | 'watch' | 'catchUp'>
  readonly clock: Clock
  readonly log: Log
  readonly hostId: string
  readonly streaming: {
    takeOver(leaving: string, hostId: string, isWanted: () => boolean): Promise<void>
    seal(): Promise<boolean>
    release(): void
  }
  /** Makes known to this node what lightweight transactions decided. */
  settle(): Promise<void>
}

const SOURCE = 'take-over.ts'
const RETRY_MS = 500
const RETRY_MAX_MS = 5_000

export class TakeOver implements Disposable {
  readonly #options: TakeOverOptions
  readonly #watching: Disposable
  #leaving: string | null = null
  #isDone = false
  #trouble: string | null = null
  /** One after the other: the last. */
  #running: Promise<void> = Promise.resolve()
  #waiting: { readonly timer: Disposable; readonly wake: () => void } | null = null
  #closed = false

  /** When the node is in the ring. */
  constructor(options: TakeOverOptions) {
    const { messenger, metadata } = options
    this.#options = options
    messenger.handle(Verb.TAKE_OVER, async ({ payload, epoch }) => {
      const question = decodeQuestion(payload)
      await metadata.catchUp(epoch)
      return encodeReport(await this.report(question))
    })
    this.#watching = metadata.watch(() => this.#look())
    this.#look()
  }

  async report({ leaving, seals }: TakeOverQuestion): Promise<TakeOverReport> {
    const isDone = (): boolean => leaving === this.#leaving && this.#isDone
    if (isDone() && seals && !(await this.#seal()) && isDone()) {
      this.#isDone = false
      this.#begin(leaving)
    }
    return { isDone: isDone(), trouble: leaving === this.#leaving ? this.#trouble : null }
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#watching[Symbol.dispose]()
    this.#waiting?.timer[Symbol.dispose]()
    this.#waiting?.wake()
  }

  #seal(): Promise<boolean> {
    return this.#options.streaming.seal().catch((error: unknown) => {
      if (error instanceof StreamError) return false
      throw error
    })
  }

  #look(): void {
    if (this.#closed) return
    const { metadata, hostId, streaming } = this.#options
    const node = leavingNode(metadata.state.topology)
    const leaving = node === null || node.hostId === hostId ? null : node.hostId
    if (leaving === this.#leaving) return
    if (this.#leaving !== null) streaming.release()
    this.#leaving = leaving
    this.#isDone = false
    this.#trouble = null
    this.#waiting?.wake()
    if (leaving !== null) this.#begin(leaving)
  }

  #begin(leaving: string): void {
    this.#running = this.#running.then(() => this.#run(leaving))
  }

  async #run(leaving: string): Promise<void> {
    const { streaming, hostId, settle, log } = this.#options
    const isWanted = (): boolean => !this.#closed && this.#leaving === leaving
    for (let tries = 0; isWanted(); tries++) {
      try {
        await streaming.takeOver(leaving, hostId, isWanted)
        await settle()
        this.#isDone = isWanted()
        this.#trouble = null
        return
      } catch (error) {
        if (!isWanted()) return
        const { message } = error as Error
        if (message !== this.#trouble) log.warn(SOURCE, `Data of a node that leaves could not be fetched: ${message}`)
        this.#trouble = message
      }
      await this.#wait(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** tries))
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting = null
        resolve()
      }
      this.#waiting = { timer: this.#options.clock.after(ms, wake), wake }
    })
  }
}
