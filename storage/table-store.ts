/**
 * One table's data: the memtable that is written to, those that are being flushed, and its SSTables; and the reads over them.
 * Always: `sources` holds everything that was written and not dropped, newest first; a file that is not live any more is closed and removed
 * when the last read that uses it has ended.
 */

import { assert } from '../lib/base/assert.ts'
import { ByteWriter } from '../lib/base/bytes.ts'
import { uuidBytes } from '../lib/base/uuid.ts'
import type { Runtime } from '../lib/runtime/runtime.ts'
import type { LogPosition } from './commitlog/segment.ts'
import { Memtable } from './memtable.ts'
import type { ReadCommand, ReadResult } from './model/command.ts'
import type { Laws, Resolution } from './model/merge.ts'
import { MutationReader } from './model/mutation.ts'
import { compareTimestamps } from './model/row.ts'
import { headCommand, headOf, readHead } from './read/head.ts'
import { rowKey } from './read/keys.ts'
import { type ReadContext, readRows } from './read/read.ts'
import type { Source } from './read/source.ts'
import { drive } from './read/steps.ts'
import type { Filling, RowCache } from './row-cache.ts'
import type { TableReader } from './sstable/reader.ts'
import { TableMetrics } from './table-metrics.ts'
import type { TableOptions } from './table-options.ts'

/** What storage must know of a table. */
export interface StoredTable {
  readonly keyspace: string
  readonly name: string
  /** False: its writes stay out of the commit log, and are lost when the node dies before they are flushed. */
  readonly durableWrites: boolean
  /** The node itself writes to it, also when the disk is so full that clients may not. Default false. */
  readonly isEssential?: boolean
  /** False: every partition has one row, with the empty clustering, that reads without slices find by look-up. */
  readonly hasClustering: boolean
  /** What its columns are, as text that storage keeps in each SSTable and in snapshots, and does not read. Default: ''. */
  readonly shape?: string
  readonly options: TableOptions
}

/** A live SSTable. */
export interface LiveFile {
  readonly number: number
  readonly reader: TableReader
}

/** An SSTable that is damaged, or missing. Reads use what of it is whole; nothing else uses it, and nothing is purged that it may hold. */
export interface DamagedFile {
  readonly number: number
  readonly minPosition: Buffer
  readonly maxPosition: Buffer
  /** Null: it cannot be opened. */
  readonly reader: TableReader | null
  readonly source: Source
}

/** A memtable that waits to become a file. */
export interface PendingMemtable {
  readonly memtable: Memtable
  /** Of the commit log: everything of the table before it is in this memtable or in an older one. */
  readonly position: LogPosition
}

export interface TableServices {
  /** Null: there is none. */
  readonly rowCache: RowCache | null
  readonly clock: Runtime['clock']
  readonly laws: Laws
  /** Told when a memtable of so many bytes is not written to any more, how much of it is in its file, and when it is dropped. */
  readonly froze: (bytes: number) => void
  readonly wrote: (bytes: number) => void
  readonly freed: (bytes: number) => void
  /** Told when something that it held is no longer there, although nobody deleted it. */
  readonly forgot: () => void
  /** Told when it gets data that was not written to it. */
  readonly gained: () => void
  /** Told of the error of a read that failed. */
  readonly failed: (table: TableStore, error: unknown) => void
}

interface HeldFile extends LiveFile {
  reads: number
  /** Called when no read uses it any more; null while it is live. */
  discard: (() => void) | null
}

export class TableStore implements ReadContext {
  readonly id: string
  readonly idBytes: Buffer
  resolution: Resolution
  readonly #services: TableServices
  /** See unsynced.ts. */
  unsyncedGroup = 0
  table: StoredTable
  memtable: Memtable
  /** Not written to any more, not yet in files; oldest first. */
  #pending: readonly PendingMemtable[] = []
  /** Newest first. */
  #files: readonly HeldFile[] = []
  #damaged: readonly DamagedFile[] = []
  /** All files that reads use; and the damaged ones of them that could be opened. */
  #counted: readonly HeldFile[] = []
  #heldDamaged: readonly HeldFile[] = []
  sources: readonly Source[]
  readonly metrics = new TableMetrics()
  readonly #scratch = [new ByteWriter(512), new ByteWriter(512)] as const
  /** Of files that are not live any more, but still read. */
  retiredFileBytes = 0

  constructor(id: string, table: StoredTable, services: TableServices) {
    this.id = id
    this.idBytes = uuidBytes(id)
    this.table = table
    this.resolution = services.laws[table.options.resolution]
    this.#services = services
    this.memtable = new Memtable(this.resolution)
    this.sources = [this.memtable]
  }

  get gcGraceSeconds(): number {
    return this.table.options.gcGraceSeconds
  }

  get hasClustering(): boolean {
    return this.table.hasClustering
  }

  /** All but the damaged ones. */
  get files(): readonly LiveFile[] {
    return this.#files
  }

  /** Rows may have more than one version. */
  get keepsVersions(): boolean {
    return this.table.options.resolution === 'vclock'
  }

  /** What is known of the table changes, its options among it. Returns whether it concerns how many versions rows have, or may have. */
  changeTable(table: StoredTable): boolean {
    const { resolution, maxSiblings } = this.table.options
    this.table = table
    // Rows meet by the same rules in both laws: those that are in memory stay true.
    this.resolution = this.#services.laws[table.options.resolution]
    this.memtable.resolution = this.resolution
    // While rows are not to be kept, writes do not tell the cache.
    this.#services.rowCache?.clear(this.id)
    for (const { reader } of this.#files) reader.keepsIndex = table.options.caching.keys
    return table.options.resolution !== resolution || table.options.maxSiblings !== maxSiblings
  }

  get damaged(): readonly DamagedFile[] {
    return this.#damaged
  }

  /** Whether something of these partitions, from `least` to `greatest`, may be in a damaged file. */
  isDamagedWithin(least: Uint8Array, greatest: Uint8Array): boolean {
    return this.#damaged.some(
      ({ minPosition, maxPosition }) =>
        Buffer.compare(minPosition, greatest) <= 0 && Buffer.compare(maxPosition, least) >= 0,
    )
  }

  /** Memory of all memtables. */
  get memtableBytes(): number {
    return this.#pending.reduce((sum, { memtable }) => sum + memtable.bytes, this.memtable.bytes)
  }

  /** Memory of the memtable that is written to. */
  get activeBytes(): number {
    return this.memtable.bytes
  }

  /** Nothing in memory is older; after all timestamps when there is nothing. */
  get leastMemtableTimestamp(): { readonly high: number; readonly low: number } {
    let least: { readonly high: number; readonly low: number } = this.memtable.leastTimestamp
    for (const { memtable } of this.#pending) {
      const { high, low } = memtable.leastTimestamp
      if (compareTimestamps(high, low, least.high, least.low) < 0) least = memtable.leastTimestamp
    }
    return { high: least.high, low: least.low }
  }

  pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#services.clock.soon(resolve)
    })
  }

  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    const { clock } = this.#services
    const latency = command.target.kind === 'partition' ? this.metrics.reads : this.metrics.scans
    const isTimed = latency.begins()
    const began = isTimed ? clock.monotonicMs() : 0
    const isPlain = this.#rowsKept === 0 || command.supposed !== undefined || command.whole === true || command.dead
    const result = isPlain ? this.#run(command) : this.#readKept(command)
    if (!(result instanceof Promise)) {
      if (isTimed) latency.sampled(clock.monotonicMs() - began)
      return result
    }
    const waits = isTimed ? began : clock.monotonicMs()
    return result.finally(() => latency.single(clock.monotonicMs() - waits))
  }

  /**
   * One row as its sources hold it, merged: valid until the next call. Null: there is none. Undefined: something has to be read from a file for it, or
   * may be deleted otherwise than by itself; a read will tell.
   */
  rowAtHand(position: Buffer, clustering: Buffer): Buffer | null | undefined {
    const { sources } = this
    for (let i = 0; i < sources.length; i++)
      if (sources[i]!.hasPartitionDeletions || sources[i]!.hasRangeTombstones) return undefined
    const key = rowKey(position, clustering)
    let row: Buffer | null = null
    let which = 0
    for (let i = 0; i < sources.length; i++) {
      const source = sources[i]!
      if (!source.mayHold(position) || (this.hasClustering && !source.mayHoldRow(clustering))) continue
      const found = source.get(key)
      if (found instanceof Promise) {
        // Whoever reads then hears of what is wrong.
        found.catch(() => {})
        return undefined
      }
      if (found === null) continue
      if (row === null) row = found
      else {
        const out = this.#scratch[which]!
        which = 1 - which
        out.reset()
        this.resolution.merge(out, row, 0, row.length, found, 0, found.length)
        row = out.view()
      }
    }
    return row
  }

  /** Reads the sources; the files stay while it does. */
  #run(command: ReadCommand): ReadResult | Promise<ReadResult> {
    const files = this.#counted
    const result = drive(readRows(command.supposed ? this.#supposing(command.supposed) : this, command))
    if (!(result instanceof Promise) || files.length === 0) return result
    for (const file of files) file.reads++
    return result.then(
      (answer) => {
        this.#release(files)
        return answer
      },
      (error: unknown) => {
        this.#release(files)
        this.#services.failed(this, error)
        throw error
      },
    )
  }

  /** The table as it would be with the mutations. */
  #supposing(mutations: readonly Buffer[]): ReadContext {
    const memtable = new Memtable(this.resolution)
    const reader = new MutationReader()
    for (const mutation of mutations) memtable.apply(reader.reset(mutation))
    const { resolution, gcGraceSeconds, hasClustering } = this
    return {
      resolution,
      gcGraceSeconds,
      hasClustering,
      sources: [memtable, ...this.sources],
      pause: () => this.pause(),
      didRead: (tables, tombstones, rows) => this.didRead(tables, tombstones, rows),
      didScan: (tombstones, rows) => this.didScan(tombstones, rows),
    }
  }

  /** Rows of a partition that the row cache keeps; 0: none. */
  get #rowsKept(): number {
    return this.#services.rowCache === null ? 0 : this.table.options.caching.rowsPerPartition
  }

  /** A read of a table with a row cache. */
  #readKept(command: ReadCommand): ReadResult | Promise<ReadResult> {
    const { target, slices, reversed, after } = command
    const cache = this.#services.rowCache!
    if (target.kind !== 'partition') return this.#run(command)
    const known = cache.get(this.id, target.position)
    const found = known && readHead(known, command, this)
    if (found) {
      cache.hits++
      this.didRead(0, found.tombstones, found.partitions[0]?.rows.length ?? 0)
      return found
    }
    cache.misses++
    const rows = this.#rowsKept
    // Only what a head answers is worth reading one for: any part of a whole partition, or the beginning.
    const isOfHead = rows === Number.POSITIVE_INFINITY || (slices === null && !reversed && after === null)
    const filling = known === null && isOfHead ? cache.begin(this.id, target.position) : null
    return filling === null ? this.#run(command) : this.#fill(filling, command, rows)
  }

  /** Reads the head, keeps it, and answers from it if it can. */
  #fill(filling: Filling, command: ReadCommand, rows: number): ReadResult | Promise<ReadResult> {
    const cache = this.#services.rowCache!
    const wanted = headCommand(command, rows, cache.headBytesMax)
    const take = (result: ReadResult): ReadResult | Promise<ReadResult> => {
      // A read that ends at its tombstones has not seen all there is.
      if (result.tombstones > (command.tombstonesMax ?? Number.POSITIVE_INFINITY)) {
        cache.abort(filling)
        return result
      }
      const head = headOf(result, wanted)
      cache.end(filling, head)
      return (head && readHead(head, command, this)) ?? this.#run(command)
    }
    try {
      const result = this.#run(wanted)
      if (!(result instanceof Promise)) return take(result)
      return result.then(take, (error: unknown) => {
        cache.abort(filling)
        throw error
      })
    } catch (error) {
      cache.abort(filling)
      throw error
    }
  }

  /** Called when a mutation has become visible: the partition whose position lies there is not what the row cache has of it. */
  invalidate(bytes: Buffer, positionStart: number, positionEnd: number): void {
    if (this.#rowsKept !== 0) this.#services.rowCache!.invalidate(this.id, bytes, positionStart, positionEnd)
  }

  didRead(tables: number, tombstones: number, rows: number): void {
    this.metrics.read(tables, tombstones, rows)
  }

  didScan(tombstones: number, rows: number): void {
    this.metrics.scan(tombstones, rows)
  }

  /** The files of now, which stay on disk until they are released. */
  hold(): { readonly files: readonly LiveFile[]; readonly release: () => void } {
    const files = this.#files
    for (const file of files) file.reads++
    return { files, release: () => this.#release(files) }
  }

  #release(files: readonly HeldFile[]): void {
    for (const file of files) if (--file.reads === 0) file.discard?.()
  }

  /** Writes go to a new memtable from now on; the old one stays readable. */
  swapMemtable(position: LogPosition): void {
    this.#pending = [...this.#pending, { memtable: this.memtable, position }]
    this.#services.froze(this.memtable.bytes)
    this.memtable = new Memtable(this.resolution)
    this.#changed()
  }

  /** The oldest memtable that waits to become a file. */
  get pending(): PendingMemtable | null {
    return this.#pending[0] ?? null
  }

  /** Tells that so many bytes of the oldest waiting memtable are in its file; negative: that they do not count any more. */
  wrote(bytes: number): void {
    this.#services.wrote(bytes)
  }

  /** Its file takes the place of the oldest waiting memtable; null: it is dropped. */
  settlePending(file: LiveFile | null): void {
    const [oldest, ...others] = this.#pending
    assert(oldest !== undefined)
    this.#pending = others
    if (file) this.#add([file])
    else {
      this.#changed()
      this.#services.rowCache?.clear(this.id)
    }
    this.#services.freed(oldest.memtable.bytes)
  }

  /** A file from outside. */
  addFile(file: LiveFile): void {
    this.addFiles([file])
  }

  /** Files from outside, or of the start. */
  addFiles(files: readonly LiveFile[]): void {
    this.#add(files)
    this.#services.gained()
    this.#services.rowCache?.clear(this.id)
  }

  #add(added: readonly LiveFile[]): void {
    const files = [...this.#files, ...added.map((file) => this.#held(file))]
    this.#files = files.sort((a, b) => b.number - a.number)
    this.#changed()
  }

  /** A file turned out damaged: only reads use it from now on. */
  setAside(number: number): void {
    const file = this.#files.find((live) => live.number === number)
    if (file === undefined) return
    const { reader } = file
    const { minPosition, maxPosition } = reader.statistics
    this.#files = this.#files.filter((live) => live !== file)
    this.#damaged = [...this.#damaged, { number, minPosition, maxPosition, reader, source: reader }]
    this.#heldDamaged = [...this.#heldDamaged, file]
    this.#changed()
  }

  /** A file that was damaged before the start. */
  addDamaged(file: DamagedFile): void {
    const { number, reader } = file
    this.#damaged = [...this.#damaged, file]
    if (reader) this.#heldDamaged = [...this.#heldDamaged, this.#held({ number, reader })]
    this.#changed()
  }

  /** Forgets damaged files: each is closed when no read uses it any more, and stays in the quarantine. */
  forgetDamaged(numbers: ReadonlySet<number>): void {
    if (!this.#damaged.some(({ number }) => numbers.has(number))) return
    this.#services.forgot()
    const forgotten = this.#heldDamaged.filter(({ number }) => numbers.has(number))
    this.#damaged = this.#damaged.filter(({ number }) => !numbers.has(number))
    this.#heldDamaged = this.#heldDamaged.filter(({ number }) => !numbers.has(number))
    this.#changed()
    for (const file of forgotten) {
      file.discard = () => void file.reader.close()
      if (file.reads === 0) file.discard()
    }
  }

  /** In one step for whoever reads later; each of the files that go is handed to `discard` when no read uses it any more. */
  replaceFiles(numbers: ReadonlySet<number>, added: readonly LiveFile[], discard: (file: LiveFile) => void): void {
    // A compaction changes nothing of what is read.
    if (added.length === 0) this.#services.rowCache?.clear(this.id)
    const removed = this.#files.filter((file) => numbers.has(file.number))
    const kept = this.#files.filter((file) => !numbers.has(file.number))
    this.#files = [...kept, ...added.map((file) => this.#held(file))].sort((a, b) => b.number - a.number)
    this.#changed()
    for (const file of removed) {
      this.metrics.retire(file.reader)
      this.retiredFileBytes += file.reader.fileBytes
      file.discard = () => {
        this.retiredFileBytes -= file.reader.fileBytes
        discard(file)
      }
      if (file.reads === 0) file.discard()
    }
  }

  #held(file: LiveFile): HeldFile {
    file.reader.keepsIndex = this.table.options.caching.keys
    return { ...file, reads: 0, discard: null }
  }

  #changed(): void {
    const pending = this.#pending.map(({ memtable }) => memtable).reverse()
    const damaged = this.#damaged.map(({ source }) => source)
    this.sources = [this.memtable, ...pending, ...this.#files.map((file) => file.reader), ...damaged]
    this.#counted = damaged.length === 0 ? this.#files : [...this.#files, ...this.#heldDamaged]
  }
}
