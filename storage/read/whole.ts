/**
 * What a read that keeps deletions (`whole` in the command) gives of a partition, in the one form that replicas with the same data share whatever their
 * files look like: what a deletion covers is not there, deletions of ranges do not overlap and end where the slices do, what expired has no value, and
 * what is past gc_grace is not there though it still covers.
 * Source: Cassandra's ReadCommand.withoutPurgeableTombstones, for the idea that what compactions may drop has no place in a digest.
 * Always: an answer takes no more memory than its byte limit and one record, however much of it is dead.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { AFTER_ALL, BEFORE_ALL, Purger } from '../compaction/purge.ts'
import { type PartitionData, type RangeTombstone, type ReadCommand, RowData } from '../model/command.ts'
import type { Resolution } from '../model/merge.ts'
import { POSITION_HEAD_BYTES } from '../model/mutation.ts'
import { RowFlag } from '../model/row.ts'
import type { RangeSink } from './range-deletions.ts'

/** What a dead row or a deleted range takes beside its bytes, roughly: they count towards the byte limit with it. */
const ENTRY_BYTES = 64
const AFTER = Buffer.from([0])
const NOWHERE = Buffer.alloc(0)

/** Brings rows and deletions into the shared form. */
export class WholeForm {
  readonly #resolution: Resolution
  readonly #purger: Purger
  readonly #isPurging: boolean
  /** Made when a row has something that may go. */
  #out: ByteWriter | null = null
  /** Deletions made before, in seconds, are past gc_grace. */
  readonly gcBefore: number

  constructor(resolution: Resolution, command: ReadCommand, gcGraceSeconds: number) {
    this.#resolution = resolution
    this.#isPurging = command.keepsPurgeable !== true
    this.#purger = new Purger(command.nowSeconds, gcGraceSeconds)
    this.gcBefore = this.#isPurging ? command.nowSeconds - gcGraceSeconds : Number.NEGATIVE_INFINITY
    this.#purger.within(NOWHERE, this.#isPurging ? AFTER_ALL : BEFORE_ALL)
  }

  deletion(deletion: Buffer | null): Buffer | null {
    return deletion !== null && this.#isPurging && this.#purger.isOld(deletion) ? null : deletion
  }

  /** Null: nothing is left of it. */
  row(row: Buffer): Buffer | null {
    let left = row
    if ((row[0]! & RowFlag.DELETION) !== 0) {
      // A mutation may hold cells that its own deletion covers: merging takes them out.
      const out = this.#emptyOut()
      this.#resolution.merge(out, row, 0, row.length, row, 0, row.length)
      if (!out.view().equals(row)) left = out.copy()
    }
    if (!this.#purger.isCandidate(left)) return left.length > 1 ? left : null
    const out = this.#emptyOut()
    return this.#purger.purge(out, left) ? out.copy() : null
  }

  #emptyOut(): ByteWriter {
    this.#out ??= new ByteWriter(256)
    this.#out.reset()
    return this.#out
  }
}

/** Gathers one partition. */
export class WholePartition implements RangeSink {
  readonly #reversed: boolean
  readonly #bytesMax: number
  readonly rows: RowData[] = []
  readonly #ranges: RangeTombstone[] = []
  #openFrom: Buffer | null = null
  #openDeletion: Buffer | null = null
  /** Rows that are live. */
  live = 0
  bytes = 0
  /** The partition was read up to this bound, with the row there; null: to its end. */
  cut: Buffer | null = null

  constructor(reversed: boolean, bytesMax: number) {
    this.#reversed = reversed
    this.#bytesMax = bytesMax
  }

  get isFull(): boolean {
    return this.bytes >= this.#bytesMax
  }

  add(clustering: Buffer, row: Buffer, isDead: boolean): void {
    this.rows.push(RowData.of(clustering, row, isDead))
    this.bytes += clustering.length + row.length
    if (isDead) this.bytes += ENTRY_BYTES
    else this.live++
  }

  /** A deletion holds from this bound on, in the order of reading. */
  open(bound: Buffer, deletion: Buffer): void {
    this.#openFrom = bound
    this.#openDeletion = deletion
  }

  close(bound: Buffer): void {
    const from = this.#openFrom!
    const range = this.#reversed ? { start: bound, end: from } : { start: from, end: bound }
    if (range.start.compare(range.end) < 0) this.range(range.start, range.end, this.#openDeletion!)
    this.#openFrom = null
  }

  range(start: Buffer, end: Buffer, deletion: Buffer): void {
    this.#ranges.push({ start, end, deletion })
    this.bytes += start.length + end.length + deletion.length + ENTRY_BYTES
  }

  /** Nothing beyond the bound was read. */
  cutAt(bound: Buffer): void {
    this.cut = bound
    if (this.#openFrom !== null) this.close(this.#reversed ? bound : Buffer.concat([bound, AFTER]))
  }

  /** Null: there is nothing. */
  data(position: Buffer, deletion: Buffer | null, staticRow: Buffer | null): PartitionData | null {
    const rangeTombstones = this.#reversed ? this.#ranges.reverse() : this.#ranges
    const isEmpty = this.rows.length === 0 && rangeTombstones.length === 0 && deletion === null && staticRow === null
    if (isEmpty && this.cut === null) return null
    const key = position.subarray(POSITION_HEAD_BYTES)
    return { position, key, staticRow, rows: this.rows, deletion, rangeTombstones, cut: this.cut }
  }
}
