/** One table's data: the memtable that is written to, those that are being flushed, and its SSTables; and the reads over them. */
import type { Runtime } from '../lib/runtime/runtime.ts'
import { Memtable } from './memtable.ts'
import type { ReadCommand, ReadResult } from './model/command.ts'
import type { Resolution } from './model/merge.ts'
import { drive, type ReadContext, readRows } from './read/read.ts'
import type { Source } from './read/source.ts'

/** What storage must know of a table. */
export interface StoredTable {
  readonly keyspace: string
  readonly name: string
  /** False: its writes stay out of the commit log, and are lost when the node dies before they are flushed. */
  readonly durableWrites: boolean
  /** Seconds for which a tombstone is kept, and counts as one in reads. */
  readonly gcGraceSeconds: number
  /** False: every partition has one row, with the empty clustering, that reads without slices find by look-up. */
  readonly hasClustering: boolean
}

export class TableStore implements ReadContext {
  readonly id: string
  readonly idBytes: Buffer
  readonly resolution: Resolution
  readonly #clock: Runtime['clock']
  table: StoredTable
  memtable: Memtable
  /** Newest first. */
  sources: readonly Source[]

  constructor(id: string, table: StoredTable, services: { clock: Runtime['clock']; resolution: Resolution }) {
    this.id = id
    this.idBytes = tableIdBytes(id)
    this.table = table
    this.resolution = services.resolution
    this.#clock = services.clock
    this.memtable = new Memtable(this.resolution)
    this.sources = [this.memtable]
  }

  get gcGraceSeconds(): number {
    return this.table.gcGraceSeconds
  }

  get hasClustering(): boolean {
    return this.table.hasClustering
  }

  pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.soon(resolve)
    })
  }

  read(command: ReadCommand): ReadResult | Promise<ReadResult> {
    return drive(readRows(this, command))
  }

  /** Forgets everything. */
  clear(): void {
    this.memtable = new Memtable(this.resolution)
    this.sources = [this.memtable]
  }
}

/** The 16 bytes of a UUID written in hexadecimal with dashes. */
export function tableIdBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}
