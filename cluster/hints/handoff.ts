/**
 * Hinted handoff: what a replica missed is kept by the coordinator and sent when the replica is back. Source: Dynamo §4.6; Cassandra's HintsService
 * and HintsDispatcher (windows, throttle, and that a hint older than its table's gc_grace is not sent: the tombstones that it might overrule may be gone).
 * Always: a hint leaves when its node acknowledged it, when another node keeps it from now on (this one leaves the cluster: Cassandra's
 * transferHints), when it could do harm, when nobody wants it (node or table gone), or when there is no room; the latter is written down, for repair.
 */
import type { Clock, Disk, Log, Random } from '../../lib/runtime/runtime.ts'
import { TABLE_ID_BYTES } from '../../storage/model/mutation.ts'
import type { Hints } from '../coordinator/environment.ts'
import type { Liveness } from '../gossip/liveness.ts'
import type { Endpoint, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { type Delivery, deliver } from './delivery.ts'
import { FileHints, findHintFiles } from './file-hints.ts'
import type { HostHints } from './host-hints.ts'
import { MissedLedger } from './ledger.ts'
import { MemoryHints } from './memory-hints.ts'
import { encodeHandedOn } from './messages.ts'
import type { Hint } from './record.ts'

const SOURCE = 'handoff.ts'

/** Nodes that are alive and have hints here are tried again so often. Source: Cassandra's HintsDispatchTrigger. */
const TRY_AGAIN_MS = 10_000
/** A node that comes back is given a moment, by chance, so that not all send at once. */
const RETURN_DELAY_MS = 1_000
/** For each message of hints that are handed on. */
const HAND_ON_MS = 10_000
/** What waits for its sync; beyond, hints are dropped: the disk does not keep up. */
const UNSYNCED_BYTES_MAX = 32 * 1024 * 1024

export interface HintSettings {
  readonly enabled: boolean
  /** A node that is away for longer gets no more hints. */
  readonly windowMs: number
  /** Bytes a second to one node; 0: no limit. */
  readonly throttleBytes: number
  readonly fileBytesMax: number
  /** 0: no limit. */
  readonly hostBytesMax: number
}

export interface HintedHandoffOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly disk: Disk
  /** Null: hints are kept in memory. */
  readonly directory: string | null
  readonly settings: HintSettings
  readonly messenger: Messenger
  readonly liveness: Liveness
  /** Where a node is; null: it is none of the cluster any more; undefined: nobody knows yet. */
  endpointOf(hostId: string): Endpoint | null | undefined
  /** gc_grace_seconds of a table by its id as latin1; null: there is no such table. */
  gcGraceSeconds(tableIdLatin1: string): number | null
}

export interface HostHintCounts {
  readonly hostId: string
  readonly bytes: number
  readonly oldestMs: number | null
  readonly newestMs: number | null
  readonly files: number
}

export interface HintCounts {
  readonly stored: number
  readonly sent: number
  /** No room, no disk, not taken because the node is away too long. */
  readonly dropped: number
  /** Their time was over, or their table or node gone. */
  readonly expired: number
  readonly damagedBytes: number
  readonly hosts: readonly HostHintCounts[]
}

interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

interface Host {
  readonly hints: HostHints
  unsyncedBytes: number
  isDelivering: boolean
}

export class HintedHandoff implements Hints {
  readonly ledger: MissedLedger
  isEnabled: boolean
  /** Bytes a second to one node; 0: no limit. */
  throttleBytes: number
  isPaused = false
  readonly #options: HintedHandoffOptions
  readonly #hosts = new Map<string, Host>()
  /** Nodes that are away, since when. */
  readonly #awaySince = new Map<string, Moment>()
  /** Those among them of which the ledger knows that they get nothing. */
  readonly #refused = new Set<string>()
  readonly #listening: Disposable
  readonly #returning = new Set<Disposable>()
  #timer: Disposable | null = null
  #isClosed = false
  #stored = 0
  #sent = 0
  #dropped = 0
  #expired = 0

  private constructor(options: HintedHandoffOptions, ledger: MissedLedger, hosts: readonly HostHints[]) {
    this.#options = options
    this.ledger = ledger
    this.isEnabled = options.settings.enabled
    this.throttleBytes = options.settings.throttleBytes
    for (const hints of hosts) this.#hosts.set(hints.hostId, { hints, unsyncedBytes: 0, isDelivering: false })
    this.#listening = options.liveness.listen((hostId, isAlive) => this.#changed(hostId, isAlive))
    this.#tryLater()
  }

  static async open(options: HintedHandoffOptions): Promise<HintedHandoff> {
    const { clock, disk, directory, log, settings } = options
    const report = (cause: Error): void => log.error(SOURCE, cause.message, cause.cause)
    if (directory === null)
      return new HintedHandoff(options, await MissedLedger.open({ clock, disk: null, directory: '', report }), [])
    const { hosts, foreign } = await findHintFiles({ clock, disk, directory, fileBytesMax: settings.fileBytesMax })
    for (const name of foreign) log.warn(SOURCE, `Hints of another version are left alone: ${name}`)
    return new HintedHandoff(options, await MissedLedger.open({ clock, disk, directory, report }), hosts)
  }

  mayStore(hostId: string): boolean {
    if (!this.isEnabled || this.#isClosed) return false
    const { clock, settings, liveness } = this.#options
    const host = this.#hosts.get(hostId)
    if (host !== undefined) {
      if (host.unsyncedBytes > UNSYNCED_BYTES_MAX) return this.#refuse(hostId)
      if (settings.hostBytesMax > 0 && host.hints.bytes >= settings.hostBytesMax) return this.#refuse(hostId)
    }
    let since = this.#awaySince.get(hostId)
    if (since === undefined) {
      if (liveness.isAlive(hostId)) return true
      since = this.#now()
      this.#awaySince.set(hostId, since)
    }
    // It was away before this node's last start, too.
    const sinceWallMs = Math.min(since.wallMs, host?.hints.oldestMs ?? Infinity)
    // By either clock: what slept did not count its sleep, and what was set back would wait for ever.
    const awayMs = Math.max(clock.monotonicMs() - since.monotonicMs, clock.wallMicros() / 1000 - sinceWallMs)
    return awayMs <= settings.windowMs || this.#refuse(hostId)
  }

  #now(): Moment {
    const { clock } = this.#options
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMicros() / 1000 }
  }

  #refuse(hostId: string): false {
    this.#dropped++
    if (!this.#refused.has(hostId)) {
      this.#refused.add(hostId)
      this.ledger.markAll(hostId)
      this.#options.log.warn(SOURCE, `No more hints are kept for ${hostId}: it must be repaired when it is back`)
    }
    return false
  }

  /** Rejects when it cannot be kept; the ledger knows of it then. */
  store(hostId: string, mutation: Uint8Array, writtenAt: number): void | Promise<void> {
    const gcGraceSeconds = this.#gcGraceSeconds(mutation)
    // Without a table nobody misses it.
    if (gcGraceSeconds === null) return
    const host = this.#host(hostId)
    const keptAtMs = Math.floor(this.#options.clock.wallMicros() / 1000)
    this.#stored++
    const kept = host.hints.append({ writtenAt, keptAtMs, gcGraceSeconds, mutation })
    if (kept === undefined) return
    const position = Buffer.from(mutation.subarray(0, TABLE_ID_BYTES + 1))
    host.unsyncedBytes += mutation.length
    return kept.then(
      () => {
        host.unsyncedBytes -= mutation.length
      },
      (cause) => {
        host.unsyncedBytes -= mutation.length
        this.#dropped++
        this.ledger.mark(hostId, position)
        throw new Error('a hint could not be kept', { cause })
      },
    )
  }

  /** Keeps what another node kept until now: as old as it is, whatever the window. */
  async takeOver(hostId: string, hints: readonly Hint[]): Promise<void> {
    const host = this.#host(hostId)
    this.#stored += hints.length
    await Promise.all(hints.map((hint) => host.hints.append(hint)))
  }

  /** Gives all that is kept here to another node, for good; what that one does not take stays. Resolves with whether nothing is left. */
  async handOn(to: Endpoint): Promise<boolean> {
    const { messenger, endpointOf } = this.#options
    let isAll = true
    for (const [hostId, host] of this.#hosts) {
      if (host.isDelivering) {
        isAll = false
        continue
      }
      host.isDelivering = true
      try {
        for (let batch = await host.hints.peek(); batch !== null; batch = await host.hints.peek()) {
          const isWanted = endpointOf(hostId) !== null
          if (isWanted && !(await isTaken(messenger, to, encodeHandedOn(hostId, batch.hints)))) return false
          await host.hints.done()
        }
      } finally {
        host.isDelivering = false
      }
    }
    return isAll
  }

  /** Hints are kept and not sent, until resume(). */
  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.#tryAll()
  }

  /** Drops the hints for a node, or for all. */
  async truncate(hostId?: string): Promise<void> {
    const hosts = hostId === undefined ? [...this.#hosts.values()] : [this.#hosts.get(hostId)]
    for (const host of hosts) await host?.hints.clear()
  }

  counts(): HintCounts {
    const hosts = [...this.#hosts.values()].map(({ hints }) => hints)
    let damagedBytes = 0
    for (const hints of hosts) damagedBytes += hints.damagedBytes
    return {
      stored: this.#stored,
      sent: this.#sent,
      dropped: this.#dropped,
      expired: this.#expired,
      damagedBytes,
      hosts: hosts.map(({ hostId, bytes, oldestMs, newestMs, files }) => ({
        hostId,
        bytes,
        oldestMs,
        newestMs,
        files,
      })),
    }
  }

  /** What was to be kept is on disk. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#listening[Symbol.dispose]()
    this.#timer?.[Symbol.dispose]()
    for (const timer of this.#returning) timer[Symbol.dispose]()
    for (const { hints } of this.#hosts.values()) await hints.close()
    await this.ledger.close()
  }

  #host(hostId: string): Host {
    return this.#hosts.get(hostId) ?? this.#addHost(hostId)
  }

  #addHost(hostId: string): Host {
    const { clock, disk, directory, settings } = this.#options
    const { fileBytesMax } = settings
    const hints =
      directory === null ? new MemoryHints(hostId) : new FileHints(hostId, [], { clock, disk, directory, fileBytesMax })
    const host = { hints, unsyncedBytes: 0, isDelivering: false }
    this.#hosts.set(hostId, host)
    return host
  }

  #gcGraceSeconds(mutation: Uint8Array): number | null {
    const { buffer, byteOffset } = mutation
    return this.#options.gcGraceSeconds(Buffer.from(buffer, byteOffset, TABLE_ID_BYTES).toString('latin1'))
  }

  #changed(hostId: string, isAlive: boolean): void {
    if (!isAlive) {
      if (!this.#awaySince.has(hostId)) this.#awaySince.set(hostId, this.#now())
      return
    }
    this.#awaySince.delete(hostId)
    this.#refused.delete(hostId)
    if (!this.#hosts.has(hostId)) return
    const timer = this.#options.clock.after(this.#options.random.float() * RETURN_DELAY_MS, () => {
      this.#returning.delete(timer)
      const host = this.#hosts.get(hostId)
      if (host !== undefined) void this.#deliver(hostId, host)
    })
    this.#returning.add(timer)
  }

  #tryLater(): void {
    this.#timer = this.#options.clock.after(TRY_AGAIN_MS, () => {
      this.#tryAll()
      this.#tryLater()
    })
  }

  #tryAll(): void {
    for (const [hostId, host] of this.#hosts) if (host.hints.bytes > 0) void this.#deliver(hostId, host)
  }

  /** Never rejects. */
  async #deliver(hostId: string, host: Host): Promise<void> {
    if (host.isDelivering || this.#isClosed) return
    const { endpointOf, liveness, log } = this.#options
    const endpoint = endpointOf(hostId)
    if (endpoint === undefined || (endpoint !== null && !liveness.isAlive(hostId))) return
    host.isDelivering = true
    try {
      if (endpoint === null) {
        log.info(SOURCE, `Hints for ${hostId} are dropped: it is no node of this cluster any more`)
        await host.hints.clear()
        this.ledger.forget(hostId)
      } else await this.#send(hostId, host.hints, endpoint)
    } catch (cause) {
      if (!this.#isClosed) log.error(SOURCE, `Hints for ${hostId} could not be handed over`, cause)
    } finally {
      host.isDelivering = false
    }
  }

  async #send(hostId: string, hints: HostHints, endpoint: Endpoint): Promise<void> {
    const { clock, messenger, liveness, log } = this.#options
    const delivery: Delivery = {
      clock,
      messenger,
      throttleBytes: this.throttleBytes,
      goesOn: () => !this.isPaused && !this.#isClosed && liveness.isAlive(hostId),
      isWanted: (hint) => {
        const now = this.#gcGraceSeconds(hint.mutation)
        if (now === null) return false
        const graceMs = Math.min(now, hint.gcGraceSeconds) * 1000
        return clock.wallMicros() / 1000 - hint.keptAtMs < graceMs
      },
    }
    const { sent, expired, isComplete } = await deliver(hints, endpoint, delivery)
    this.#sent += sent
    this.#expired += expired
    if (isComplete && sent > 0) log.info(SOURCE, `Finished hinted handoff of ${sent} hints to ${endpoint}`)
  }
}

function isTaken(messenger: Messenger, to: Endpoint, payload: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    messenger.request(to, Verb.HAND_ON, payload, HAND_ON_MS, {
      replied: () => resolve(true),
      failed: () => resolve(false),
    })
  })
}
