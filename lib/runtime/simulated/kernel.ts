/**
 * Many processes over one virtual time: takes the first event, runs it, lets all promises that are ready run, takes the next.
 * A process has a clock of its own, whose wall part may be wrong in every way; it may be paused, and it may die at any event.
 * Source: FoundationDB's simulator (Zhou 2021, §4); Cassandra's fault list of clocks is Jepsen's (bumps, strobes, drift).
 * Always: the same calls in the same order give the same events in the same order, whatever the machine does; a dead process runs nothing more.
 */
import { assert } from '../../base/assert.ts'
import type { Clock, Random } from '../runtime.ts'
import { EventQueue } from './event-queue.ts'

export interface KernelOptions {
  readonly random: Random
  /** Calls its argument when all ready promises have run. It is the one thing that a kernel needs of the real world: in Node, setImmediate. */
  readonly hop: (run: () => void) => void
  readonly startWallMicros?: number
}

/** What may be wrong with a wall clock. All of it together, at any time. */
export interface WallFaults {
  /** How much it is ahead, in µs. */
  skewMicros: number
  /** Microseconds that it gains in a second. */
  driftMicros: number
  /** It stands still at this value; null: it goes. */
  frozenAtMicros: number | null
  /** It jumps by so many µs, and back, every `periodMs`; null: it does not. */
  strobe: { readonly periodMs: number; readonly micros: number } | null
}

export interface SimulatedProcess {
  readonly name: string
  readonly clock: Clock
  readonly wall: WallFaults
  /** Timers come late by up to so much, by chance. */
  latenessMsMax: number
  readonly isAlive: boolean
  readonly isPaused: boolean
  /** As SIGSTOP: what falls due waits. Time goes on. */
  pause(): void
  resume(): void
  /** As SIGKILL. */
  kill(): void
}

interface Event {
  readonly process: Process | null
  /** Null: cancelled. */
  run: (() => void) | null
}

/** setTimeout takes longer delays for 1 ms. */
const DELAY_MAX_MS = 2 ** 31 - 1

/** So many events without time going on are taken for an endless loop. */
const STANDSTILL_EVENTS = 2_000_000

class Process implements SimulatedProcess {
  readonly name: string
  readonly id: number
  readonly wall: WallFaults = { skewMicros: 0, driftMicros: 0, frozenAtMicros: null, strobe: null }
  readonly clock: Clock
  latenessMsMax = 0
  isAlive = true
  isPaused = false
  readonly #kernel: Kernel
  #held: Event[] = []

  constructor(kernel: Kernel, name: string, id: number, random: Random, startWallMicros: number) {
    this.#kernel = kernel
    this.name = name
    this.id = id
    this.clock = {
      monotonicMs: () => kernel.nowMs,
      wallMicros: () => this.#wallMicros(startWallMicros),
      after: (delayMs, run) => {
        assert(delayMs <= DELAY_MAX_MS, `a timer of ${delayMs} ms would fire at once`)
        const lateMs = this.latenessMsMax === 0 ? 0 : random.float() * this.latenessMsMax
        return kernel.post(Math.max(0, delayMs) + lateMs, run, this)
      },
      soon: (run) => {
        kernel.post(0, run, this)
      },
    }
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    // Their owners may still cancel them.
    for (const event of this.#held.splice(0)) this.#kernel.post(0, () => event.run?.(), this)
  }

  kill(): void {
    this.isAlive = false
    this.#held = []
  }

  hold(event: Event): void {
    this.#held.push(event)
  }

  #wallMicros(startWallMicros: number): number {
    const { skewMicros, driftMicros, frozenAtMicros, strobe } = this.wall
    if (frozenAtMicros !== null) return frozenAtMicros
    const { nowMs } = this.#kernel
    const strobed = strobe !== null && Math.floor(nowMs / strobe.periodMs) % 2 === 1 ? strobe.micros : 0
    return startWallMicros + Math.round(nowMs * 1000 + (nowMs / 1000) * driftMicros) + skewMicros + strobed
  }
}

export class Kernel {
  readonly #queue = new EventQueue<Event>()
  readonly #random: Random
  readonly #hop: (run: () => void) => void
  readonly #startWallMicros: number
  #nowMs = 0
  #events = 0
  #hash = 0x811c9dc5
  #processes = 0
  #isRunning = false
  #isStopped = false
  /** Of what no process does: the network's wires, the plan of faults. */
  readonly clock: Clock

  constructor(options: KernelOptions) {
    this.#random = options.random.stream('kernel')
    this.#hop = options.hop
    this.#startWallMicros = options.startWallMicros ?? 1_700_000_000_000_000
    this.clock = {
      monotonicMs: () => this.#nowMs,
      wallMicros: () => this.#startWallMicros + Math.round(this.#nowMs * 1000),
      after: (delayMs, run) => this.post(delayMs, run, null),
      soon: (run) => {
        this.post(0, run, null)
      },
    }
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** Events run so far. */
  get events(): number {
    return this.#events
  }

  /** Timers and other events that are to come. */
  get pendingEvents(): number {
    return this.#queue.size
  }

  /** Of all events so far, their times, their processes, and what was noted: two runs that did the same have the same. */
  get trace(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** Adds to the trace. */
  note(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193)
  }

  /** Adds each byte. No checksum would do: those that end with their own are all the same to it. */
  noteBytes(bytes: Uint8Array): void {
    let hash = this.#hash
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
    this.#hash = hash
  }

  process(name: string): SimulatedProcess {
    const id = ++this.#processes
    return new Process(this, name, id, this.#random.stream(`${name} ${id}`), this.#startWallMicros)
  }

  post(delayMs: number, run: () => void, process: Process | null): Disposable {
    assert(delayMs >= 0 && Number.isFinite(delayMs), 'an event has a time')
    if (process !== null && !process.isAlive) return NOTHING
    const event: Event = { process, run }
    const entry = this.#queue.push(this.#nowMs + delayMs, event)
    return {
      [Symbol.dispose]: () => {
        event.run = null
        this.#queue.cancel(entry)
      },
    }
  }

  /** Ends the present run() after the event that runs now. */
  stop(): void {
    this.#isStopped = true
  }

  /** Runs what falls due until `untilMs`, or until stop(). Rejects with what an event throws: in production it would have ended its process. */
  run(untilMs: number): Promise<void> {
    assert(!this.#isRunning, 'one run at a time')
    this.#isRunning = true
    this.#isStopped = false
    let standsSince = this.#events
    return new Promise<void>((resolve, reject) => {
      const step = (): void => {
        try {
          const event = this.#isStopped ? null : this.#queue.take(untilMs)
          if (event === null) {
            if (!this.#isStopped && Number.isFinite(untilMs)) this.#nowMs = Math.max(this.#nowMs, untilMs)
            this.#isRunning = false
            resolve()
            return
          }
          if (this.#queue.takenAtMs > this.#nowMs) {
            this.#nowMs = this.#queue.takenAtMs
            standsSince = this.#events
          }
          assert(this.#events - standsSince < STANDSTILL_EVENTS, `time stands still at ${this.#nowMs} ms`)
          this.#runEvent(event)
        } catch (error) {
          this.#isRunning = false
          reject(error)
          return
        }
        this.#hop(step)
      }
      this.#hop(step)
    })
  }

  #runEvent(event: Event): void {
    const { process } = event
    if (process !== null) {
      if (!process.isAlive) return
      if (process.isPaused) {
        process.hold(event)
        return
      }
    }
    this.#events++
    this.note(Math.round(this.#nowMs * 1000) | 0)
    this.note(process === null ? 0 : process.id)
    event.run?.()
  }
}

const NOTHING: Disposable = { [Symbol.dispose]() {} }
