/**
 * What becomes of the entries of several SSTables when they are made one: versions of a row are merged by the table's law, what deletions cover is
 * left out, and so is what may be purged (purge.ts).
 * Always: a read of the result beside any other SSTables gives what a read of the inputs beside them gave.
 */
import { assert } from '../../lib/base/assert.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { compareDeletions } from '../model/deletion.ts'
import { Coverage, type Resolution } from '../model/merge.ts'
import { EntryKind } from '../model/mutation.ts'
import { RowReader, readInt32 } from '../model/row.ts'
import { positionLength, recordKey } from '../read/keys.ts'
import { greaterDeletion } from '../read/row-resolver.ts'
import type { PurgeBounds, Purger } from './purge.ts'
import {
  HeldRanges,
  type RangeCover,
  type RangePiece,
  RangeSweep,
  RescannedRanges,
  type Rescans,
  readRange,
} from './ranges.ts'
import type { TableScan } from './table-scan.ts'

/** Where the result goes. */
export interface Target {
  partition(): Promise<void> | undefined
  write(key: Buffer, value: Buffer): Promise<void> | undefined
}

/** One of the SSTables that are merged. */
export interface MergeInput {
  readonly scan: TableScan
  /** Holds something that may have died by now. */
  readonly isDying: boolean
  /** Only its deletions are used, on what the others hold; nothing of it is written. */
  readonly isShadow: boolean
}

export interface MergerOptions {
  readonly resolution: Resolution
  readonly inputs: readonly MergeInput[]
  readonly target: Target
  readonly purger: Purger
  readonly bounds: PurgeBounds
  readonly rescans: Rescans
  /** Memory for one partition's range tombstones; beyond it they are read twice. */
  readonly rangeBytesMax: number
}

/** Overhead of a range in memory. */
const RANGE_OVERHEAD_BYTES = 200
const EMPTY_ROW_BYTES = 1

export class Merger {
  readonly #options: MergerOptions
  readonly #resolution: Resolution
  readonly #inputs = new Map<TableScan, MergeInput>()
  readonly #shadowed: boolean
  readonly #scratch = [new ByteWriter(4096), new ByteWriter(4096)] as const
  readonly #covered = new ByteWriter(4096)
  readonly #purged = new ByteWriter(4096)
  readonly #row = new RowReader()
  #position: Buffer = Buffer.alloc(0)
  /** Whether the purger knows how far it may go in this partition. */
  #bounded = false
  /** The partition's deletion. */
  #deletion: Buffer | null = null
  #sweep: RangeSweep | null = null
  /** Of the ranges that are written, where shadows make them others than those that cover. */
  #writtenSweep: RangeSweep | null = null
  #pieces: RangePiece[] = []
  #pieceBytes = 0
  #cover: RangeCover | null = null
  /** The versions at hand: merged, and what is known of them. */
  #version: Buffer | null = null
  #versionDying = false
  #shadow: Buffer | null = null
  /** By how many inputs a partition was held: how many partitions. */
  readonly merged: number[]
  readonly #seen = new Set<TableScan>()

  constructor(options: MergerOptions) {
    this.#options = options
    this.#resolution = options.resolution
    for (const input of options.inputs) this.#inputs.set(input.scan, input)
    this.#shadowed = options.inputs.some(({ isShadow }) => isShadow)
    this.merged = new Array<number>(options.inputs.length + 1).fill(0)
  }

  /** One key, and the scans that stand on it. Keys ascend. The scans must not move before what is returned has resolved. */
  add(key: Buffer, at: readonly TableScan[]): Promise<void> | undefined {
    const { length } = this.#position
    if (length === 0 || positionLength(key) !== length || !startsWith(key, this.#position)) return this.#begin(key, at)
    return this.#entry(key, at)
  }

  #begin(key: Buffer, at: readonly TableScan[]): Promise<void> | undefined {
    if (this.#sweep !== null || this.#cover instanceof RescannedRanges)
      return this.finish().then(() => this.#enter(key, at))
    this.#leave()
    return this.#enter(key, at)
  }

  #enter(key: Buffer, at: readonly TableScan[]): Promise<void> | undefined {
    this.#position = Buffer.from(key.subarray(0, positionLength(key)))
    const wait = this.#options.target.partition()
    if (wait) return wait.then(() => this.#entry(key, at))
    return this.#entry(key, at)
  }

  /** The partition at hand has ended. */
  async finish(): Promise<void> {
    if (this.#sweep) await this.#endRanges()
    if (this.#cover instanceof RescannedRanges) await this.#cover.close()
    this.#leave()
  }

  #leave(): void {
    this.#cover = null
    this.#deletion = null
    this.#bounded = false
    if (this.#pieceBytes > 0) {
      this.#pieces = []
      this.#pieceBytes = 0
    }
    if (this.#seen.size > 0) this.merged[this.#seen.size]!++
    this.#seen.clear()
  }

  #entry(key: Buffer, at: readonly TableScan[]): Promise<void> | undefined {
    for (let i = 0; i < at.length; i++) if (!this.#isShadow(at[i]!)) this.#seen.add(at[i]!)
    switch (key[this.#position.length]) {
      case EntryKind.ROW:
        if (this.#sweep !== null) return this.#endRanges().then(() => this.#addRow(key, at, false))
        return this.#addRow(key, at, false)
      case EntryKind.STATIC_ROW:
        return this.#addRow(key, at, true)
      case EntryKind.RANGE_TOMBSTONE:
        return this.#addRanges(at)
      default:
        return this.#addDeletion(key, at)
    }
  }

  #isShadow(scan: TableScan): boolean {
    return this.#shadowed && this.#inputs.get(scan)!.isShadow
  }

  async #addDeletion(key: Buffer, at: readonly TableScan[]): Promise<void> {
    let written: Buffer | null = null
    for (const scan of at) {
      const deletion = Buffer.from(scan.value)
      this.#deletion = greaterDeletion(this.#deletion, deletion)
      if (!this.#isShadow(scan)) written = greaterDeletion(written, deletion)
    }
    if (written !== null && !(await this.#purges(written))) await this.#options.target.write(key, written)
  }

  async #purges(deletion: Buffer): Promise<boolean> {
    const { purger } = this.#options
    if (!purger.isOld(deletion)) return false
    if (!this.#bounded) await this.#bound()
    return purger.takesDeletion(deletion)
  }

  #bound(): Promise<void> | undefined {
    const { bounds, purger } = this.#options
    const found = bounds.find(this.#position)
    this.#bounded = true
    if (found instanceof Promise) return found.then((bound) => purger.within(this.#position, bound))
    purger.within(this.#position, found)
    return undefined
  }

  async #addRanges(at: readonly TableScan[]): Promise<void> {
    this.#sweep ??= new RangeSweep()
    if (this.#shadowed) this.#writtenSweep ??= new RangeSweep()
    const covering: RangePiece[] = []
    const written: RangePiece[] = this.#shadowed ? [] : covering
    for (const scan of at) {
      const range = readRange(scan.key, scan.value)
      this.#sweep.add(range, covering)
      if (!this.#isShadow(scan)) this.#writtenSweep?.add(range, written)
    }
    await this.#takePieces(covering, written)
  }

  async #endRanges(): Promise<void> {
    const covering: RangePiece[] = []
    const written: RangePiece[] = this.#shadowed ? [] : covering
    this.#sweep!.finish(covering)
    this.#writtenSweep?.finish(written)
    this.#sweep = null
    this.#writtenSweep = null
    await this.#takePieces(covering, written)
    this.#cover =
      this.#pieceBytes <= this.#options.rangeBytesMax
        ? new HeldRanges(this.#pieces)
        : new RescannedRanges(this.#position, this.#options.rescans)
    this.#pieces = []
  }

  async #takePieces(covering: readonly RangePiece[], written: readonly RangePiece[]): Promise<void> {
    for (const piece of covering) {
      this.#pieceBytes += piece.start.length + piece.end.length + RANGE_OVERHEAD_BYTES
      if (this.#pieceBytes <= this.#options.rangeBytesMax) this.#pieces.push(piece)
    }
    for (const { start, end, deletion } of written) {
      if (this.#deletion !== null && compareDeletions(deletion, 0, this.#deletion, 0) <= 0) continue
      if (await this.#purges(deletion)) continue
      const key = recordKey(this.#position, EntryKind.RANGE_TOMBSTONE, start)
      await this.#options.target.write(key, Buffer.concat([deletion, end]))
    }
  }

  #addRow(key: Buffer, at: readonly TableScan[], isStatic: boolean): Promise<void> | undefined {
    this.#mergeVersions(at)
    if (this.#version === null) return undefined
    if (isStatic || this.#cover === null) return this.#coverRow(key, this.#deletion)
    const wait = this.#cover.find(key.subarray(this.#position.length + 1))
    if (wait) return wait.then(() => this.#coverRow(key, greaterDeletion(this.#deletion, this.#cover!.deletion)))
    return this.#coverRow(key, greaterDeletion(this.#deletion, this.#cover.deletion))
  }

  #mergeVersions(at: readonly TableScan[]): void {
    this.#version = null
    this.#versionDying = false
    this.#shadow = null
    let which = 0
    for (let i = 0; i < at.length; i++) {
      const scan = at[i]!
      const input = this.#inputs.get(scan)!
      const { value } = scan
      if (input.isShadow) {
        this.#addShadow(value)
        continue
      }
      if (input.isDying) this.#versionDying = true
      const before: Buffer | null = this.#version
      if (before === null) this.#version = value
      else {
        const out = this.#scratch[which]!
        which = 1 - which
        out.reset()
        this.#resolution.merge(out, before, 0, before.length, value, 0, value.length)
        this.#version = out.view()
      }
    }
  }

  /** The row's deletion in a shadow. */
  #addShadow(value: Buffer): void {
    const row = this.#row.reset(value)
    if (!row.hasDeletion) return
    const deletion = Buffer.alloc(12)
    deletion.writeInt32BE(row.deletionTsHigh, 0)
    deletion.writeUInt32BE(row.deletionTsLow, 4)
    deletion.writeUInt32BE(row.deletionLocalTime, 8)
    this.#shadow = greaterDeletion(this.#shadow, deletion)
  }

  /** Leaves out what the deletion covers, then what is purged, and writes what is left. */
  #coverRow(key: Buffer, covering: Buffer | null): Promise<void> | undefined {
    let row = this.#version!
    const deletion = this.#shadow === null ? covering : greaterDeletion(covering, this.#shadow)
    if (deletion !== null) {
      const tsHigh = readInt32(deletion, 0)
      const tsLow = readInt32(deletion, 4) >>> 0
      const coverage = this.#resolution.coverage(row, 0, row.length, tsHigh, tsLow)
      if (coverage === Coverage.ALL) return undefined
      if (coverage === Coverage.SOME) {
        const out = this.#covered
        out.reset()
        this.#resolution.applyDeletion(out, row, 0, row.length, tsHigh, tsLow)
        row = out.view()
      }
    }
    if (row.length <= EMPTY_ROW_BYTES) return undefined
    if (!this.#versionDying || !this.#options.purger.isCandidate(row)) return this.#options.target.write(key, row)
    const wait = this.#bounded ? undefined : this.#bound()
    if (wait) return wait.then(() => this.#purgeRow(key, row))
    return this.#purgeRow(key, row)
  }

  #purgeRow(key: Buffer, row: Buffer): Promise<void> | undefined {
    const out = this.#purged
    out.reset()
    if (!this.#options.purger.purge(out, row)) return undefined
    return this.#options.target.write(key, out.view())
  }
}

/** Whether the key begins with the position; both have the position's length at least. */
function startsWith(key: Buffer, position: Buffer): boolean {
  assert(key.length > position.length, 'a key is longer than its position')
  for (let i = position.length - 1; i >= 0; i--) if (key[i] !== position[i]) return false
  return true
}
