/**
 * What nodes missed for good: by node and table, in 64ths of the ring. Hints were dropped, or not even taken; only repair brings the writes back.
 * Kept as JSON beside the hints (docs/formats.md, "Hints").
 */

import { uuidText } from '../../lib/base/uuid.ts'
import type { Clock, Disk } from '../../lib/runtime/runtime.ts'
import { TABLE_ID_BYTES } from '../../storage/model/mutation.ts'

const FILE = 'missed.json'
const SAVE_DELAY_MS = 500

/** Every 64th. */
const ALL = 'ffffffffffffffff'

export interface MissedTable {
  /** 64 bits in hex, the lowest token's the first digit's highest: parts of the ring where something was missed. */
  ranges: string
  dropped: number
}

export interface MissedHost {
  /** ms since 1970. */
  readonly sinceMs: number
  untilMs: number
  /** Not even taken: it was away too long, or had too many. Anything may have been missed. */
  everything: boolean
  /** By table id. */
  readonly tables: Record<string, MissedTable>
}

export class MissedLedger {
  readonly #clock: Clock
  readonly #disk: Disk | null
  readonly #directory: string
  readonly #report: (cause: Error) => void
  readonly #hosts: Map<string, MissedHost>
  #timer: Disposable | null = null
  #saving: Promise<void> = Promise.resolve()

  private constructor(options: LedgerOptions, hosts: Map<string, MissedHost>) {
    this.#clock = options.clock
    this.#disk = options.disk
    this.#directory = options.directory
    this.#report = options.report
    this.#hosts = hosts
  }

  /** A file that cannot be read is said to be so, and begun anew. */
  static async open(options: LedgerOptions): Promise<MissedLedger> {
    const hosts = new Map<string, MissedHost>()
    const { disk, directory } = options
    if (disk === null) return new MissedLedger(options, hosts)
    try {
      const stat = await disk.stat(`${directory}/${FILE}`)
      if (stat !== null) {
        const file = await disk.open(`${directory}/${FILE}`, 'read')
        const bytes = Buffer.alloc(stat.size)
        await file.read(bytes, 0)
        await file.close()
        for (const [hostId, missed] of Object.entries(JSON.parse(bytes.toString()).hosts as Record<string, MissedHost>))
          hosts.set(hostId, missed)
      }
    } catch (cause) {
      options.report(new Error(`${FILE} cannot be read; what nodes missed before is not known any more`, { cause }))
    }
    return new MissedLedger(options, hosts)
  }

  /** A hint was dropped. */
  mark(hostId: string, mutation: Uint8Array): void {
    const host = this.#host(hostId)
    const table = uuidText(Buffer.from(mutation.subarray(0, TABLE_ID_BYTES)))
    const bit = 1n << BigInt(63 - ((mutation[TABLE_ID_BYTES] ?? 0) >> 2))
    const known = host.tables[table] ?? { ranges: '0'.repeat(16), dropped: 0 }
    host.tables[table] = known
    known.dropped++
    known.ranges = (BigInt(`0x${known.ranges}`) | bit).toString(16).padStart(16, '0')
    this.#saveSoon()
  }

  /** From now on anything may be missed. */
  markAll(hostId: string): void {
    const host = this.#host(hostId)
    host.everything = true
    this.#saveSoon()
  }

  #host(hostId: string): MissedHost {
    const nowMs = Math.floor(this.#clock.wallMicros() / 1000)
    const host = this.#hosts.get(hostId) ?? { sinceMs: nowMs, untilMs: nowMs, everything: false, tables: {} }
    host.untilMs = nowMs
    this.#hosts.set(hostId, host)
    return host
  }

  /** It was repaired, or is no node any more. */
  forget(hostId: string): void {
    if (this.#hosts.delete(hostId)) this.#saveSoon()
  }

  report(): ReadonlyMap<string, MissedHost> {
    return this.#hosts
  }

  /** What was missed of a table in 64ths of the ring; null: nothing. */
  ranges(hostId: string, table: string): string | null {
    const host = this.#hosts.get(hostId)
    if (host === undefined) return null
    return host.everything ? ALL : (host.tables[table]?.ranges ?? null)
  }

  async close(): Promise<void> {
    if (this.#timer !== null) {
      this.#timer[Symbol.dispose]()
      this.#timer = null
      this.#save()
    }
    await this.#saving
  }

  #saveSoon(): void {
    if (this.#disk === null || this.#timer !== null) return
    this.#timer = this.#clock.after(SAVE_DELAY_MS, () => {
      this.#timer = null
      this.#save()
    })
  }

  #save(): void {
    const disk = this.#disk!
    this.#saving = this.#saving.then(async () => {
      try {
        const path = `${this.#directory}/${FILE}`
        const file = await disk.open(`${path}.new`, 'write')
        await file.truncate(0)
        await file.write(Buffer.from(JSON.stringify({ version: 1, hosts: Object.fromEntries(this.#hosts) })), 0)
        await file.sync()
        await file.close()
        await disk.rename(`${path}.new`, path)
        await disk.syncDirectory(this.#directory)
      } catch (cause) {
        this.#report(new Error(`${FILE} could not be written`, { cause }))
      }
    })
  }
}

export interface LedgerOptions {
  readonly clock: Clock
  /** Null: nothing is kept. */
  readonly disk: Disk | null
  readonly directory: string
  readonly report: (cause: Error) => void
}
