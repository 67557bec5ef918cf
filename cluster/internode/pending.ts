/**
 * Requests that wait for their answer, by number, and their deadlines: one timer for all of them, set to the earliest.
 * A number is taken again after four thousand million requests; it leads to a place in an array by its low bits.
 * Always: who is taken out is taken out once; a request expires at its deadline or up to GRAIN_MS later.
 */
import type { Clock } from '../../lib/runtime/runtime.ts'
import type { Endpoint, ReplyHandler } from './messenger.ts'

export interface PendingRequest {
  id: number
  readonly to: Endpoint
  readonly verb: number
  readonly deadlineMs: number
  readonly reply: ReplyHandler
  /** It was handed to the operating system, or will be before this turn ends: it may have been done. */
  isSent: boolean
  isDone: boolean
}

const CAPACITY_MIN = 1024
/** Deadlines that are so near to each other are one sweep. */
const GRAIN_MS = 10

export class PendingRequests {
  readonly #clock: Clock
  readonly #expired: (request: PendingRequest) => void
  #slots: (PendingRequest | null)[] = new Array(CAPACITY_MIN).fill(null)
  #mask = CAPACITY_MIN - 1
  #count = 0
  #next: number
  #timer: Disposable | null = null
  #timerAtMs = Number.POSITIVE_INFINITY

  /** `first` is any number: who asks after a restart begins elsewhere. */
  constructor(clock: Clock, first: number, expired: (request: PendingRequest) => void) {
    this.#clock = clock
    this.#next = first >>> 0
    this.#expired = expired
  }

  get size(): number {
    return this.#count
  }

  add(request: PendingRequest): void {
    if (this.#count * 2 >= this.#slots.length) this.#grow()
    let id = this.#next
    while (this.#slots[id & this.#mask] !== null) id = (id + 1) >>> 0
    this.#next = (id + 1) >>> 0
    request.id = id
    this.#slots[id & this.#mask] = request
    this.#count++
    if (request.deadlineMs < this.#timerAtMs - GRAIN_MS) this.#arm(request.deadlineMs)
  }

  /** Takes it out; null: it is not waiting any more. */
  take(id: number): PendingRequest | null {
    const request = this.#slots[id & this.#mask]
    if (!request || request.id !== id) return null
    this.#remove(request)
    return request
  }

  /** Looks without taking. */
  get(id: number): PendingRequest | null {
    const request = this.#slots[id & this.#mask]
    return request && request.id === id ? request : null
  }

  some(choose: (request: PendingRequest) => boolean): boolean {
    return this.#slots.some((request) => request !== null && choose(request))
  }

  /** Takes out all that are chosen, in the order in which they were added. */
  takeAll(choose: (request: PendingRequest) => boolean): PendingRequest[] {
    const taken: PendingRequest[] = []
    for (const request of this.#slots) if (request && choose(request)) taken.push(request)
    for (const request of taken) this.#remove(request)
    const next = this.#next
    return taken.sort((a, b) => ((next - b.id) >>> 0) - ((next - a.id) >>> 0))
  }

  close(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = null
    this.#timerAtMs = Number.POSITIVE_INFINITY
  }

  #remove(request: PendingRequest): void {
    this.#slots[request.id & this.#mask] = null
    request.isDone = true
    this.#count--
  }

  /** Numbers that differ in their low bits differ in more of them. */
  #grow(): void {
    const old = this.#slots
    this.#mask = old.length * 2 - 1
    this.#slots = new Array(old.length * 2).fill(null)
    for (const request of old) if (request) this.#slots[request.id & this.#mask] = request
  }

  #arm(deadlineMs: number): void {
    this.#timer?.[Symbol.dispose]()
    this.#timerAtMs = deadlineMs + GRAIN_MS
    this.#timer = this.#clock.after(Math.max(0, this.#timerAtMs - this.#clock.monotonicMs()), () => this.#sweep())
  }

  #sweep(): void {
    this.close()
    const nowMs = this.#clock.monotonicMs()
    const late = this.takeAll((request) => request.deadlineMs <= nowMs)
    let earliest = Number.POSITIVE_INFINITY
    for (const request of this.#slots) if (request && request.deadlineMs < earliest) earliest = request.deadlineMs
    if (earliest < Number.POSITIVE_INFINITY) this.#arm(earliest)
    for (const request of late) this.#expired(request)
  }
}
