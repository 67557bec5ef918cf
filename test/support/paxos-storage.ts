/**
 * Storage as far as lightweight transactions need it: a map of rows with a disk behind it. What was applied is seen at once, and survives once its sync is
 * through. And the rows of the table that they are tried on: two columns of text.
 */
import type { RingNode } from '../../cluster/ring/topology.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'
import { type ReadCommand, type ReadResult, RowData } from '../../storage/model/command.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { EntryKind, MutationReader, MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader, rowIsLive } from '../../storage/model/row.ts'
import type { RegisterInput } from '../simulation/oracles/registers.ts'
import type { PaxosPlant } from './paxos-plants.ts'
import type { Dice } from './random.ts'

export const TABLE = '11111111-2222-1333-8444-555555555555'
export const PAXOS_TABLE = '99999999-2222-1333-8444-555555555555'
const TABLE_ID_BYTES = 16

/** Of the parts of a row's name: in none of them. */
const SEPARATOR = ' \u0100 '

/** One node's data, that outlives it. */
export class Disk {
  synced = new Map<string, Buffer>()
}

/** Storage as far as Paxos needs it: rows by table, position and clustering. */
export class FakeStorage {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #dice: Dice
  readonly #plant: PaxosPlant | null
  readonly #seen: Map<string, Buffer>
  readonly #law = new LastWriteWins()
  readonly #out = new ByteWriter(256)
  readonly #unsynced = new Set<readonly [string, Buffer][]>()
  #lastSyncMs = 0

  constructor(disk: Disk, clock: Clock, dice: Dice, plant: PaxosPlant | null) {
    this.#disk = disk
    this.#clock = clock
    this.#dice = dice
    this.#plant = plant
    this.#seen = new Map(disk.synced)
  }

  apply(mutations: readonly Buffer[]): Promise<void> {
    const rows = mutations.flatMap((mutation) => rowsOf(Buffer.from(mutation)))
    for (const [name, row] of rows) this.#merge(this.#seen, name, row)
    if (this.#forgets(rows)) return Promise.resolve()
    this.#unsynced.add(rows)
    // Syncs end in the order in which they began.
    this.#lastSyncMs = Math.max(this.#lastSyncMs, this.#clock.monotonicMs() + this.#dice.int(300) / 100)
    return new Promise((resolve) => {
      this.#clock.after(this.#lastSyncMs - this.#clock.monotonicMs(), () => {
        this.#unsynced.delete(rows)
        for (const [name, row] of rows) this.#merge(this.#disk.synced, name, row)
        resolve()
      })
    })
  }

  /** Planted: said to be on disk when it is not. */
  #forgets(rows: readonly [string, Buffer][]): boolean {
    if (this.#plant !== 'promise not persisted' && this.#plant !== 'accepted not persisted') return false
    const column = this.#plant === 'promise not persisted' ? 0 : 1
    return rows.every(([name, row]) => {
      if (!name.startsWith(PAXOS_TABLE)) return false
      const cells = new RowReader().reset(row)
      return cells.next() && cells.columnId === column
    })
  }

  read({ table, target, slices }: ReadCommand): ReadResult {
    if (target.kind !== 'partition') return this.#readAll(table)
    const clustering = slices === null ? Buffer.alloc(0) : slices[0]!.start
    const { position } = target
    const known = this.#seen.get(nameOf(table, position, clustering)) ?? null
    const row = known !== null && rowIsLive(new RowReader().reset(known), 0) ? known : null
    const partitions =
      row === null
        ? []
        : [{ position, key: position.subarray(10), staticRow: null, rows: [RowData.of(clustering, row)] }]
    return { partitions, more: false, tombstones: 0 }
  }

  #readAll(table: string): ReadResult {
    const rows = new RowReader()
    const partitions = [...this.#seen]
      .filter(([name, row]) => name.startsWith(table) && rowIsLive(rows.reset(row), 0))
      .map(([name, row]) => {
        const [, position, clustering] = name.split(SEPARATOR).map((part) => Buffer.from(part, 'latin1'))
        return {
          position: position!,
          key: position!.subarray(10),
          staticRow: null,
          rows: [RowData.of(clustering!, row)],
        }
      })
    return { partitions, more: false, tombstones: 0 }
  }

  rowOf(position: Buffer): Buffer {
    return this.#seen.get(nameOf(TABLE, position, Buffer.alloc(0))) ?? Buffer.alloc(0)
  }

  /** As a loss of power: each record that waits for its sync is there or not, but only what comes before those that are not. */
  crash(): void {
    for (const rows of this.#unsynced) {
      if (this.#dice.chance(0.5)) break
      for (const [name, row] of rows) this.#merge(this.#disk.synced, name, row)
    }
  }

  #merge(into: Map<string, Buffer>, name: string, row: Buffer): void {
    const before = into.get(name)
    if (before === undefined) into.set(name, row)
    else into.set(name, mergeRows(this.#law, this.#out, before, row))
  }
}

export function mergeRows(law: LastWriteWins, out: ByteWriter, a: Buffer, b: Buffer): Buffer {
  out.reset()
  law.merge(out, a, 0, a.length, b, 0, b.length)
  return Buffer.from(out.view())
}

function nameOf(table: string, position: Buffer, clustering: Buffer): string {
  return [table, position.toString('latin1'), clustering.toString('latin1')].join(SEPARATOR)
}

function rowsOf(mutation: Buffer): [string, Buffer][] {
  const reader = new MutationReader().reset(mutation)
  const hex = mutation.toString('hex', 0, TABLE_ID_BYTES)
  const table = hex === TABLE.replaceAll('-', '') ? TABLE : PAXOS_TABLE
  const position = mutation.subarray(reader.positionStart, reader.positionEnd)
  const rows: [string, Buffer][] = []
  while (reader.next()) {
    if (reader.kind !== EntryKind.ROW) throw new Error('only rows are kept')
    const clustering = mutation.subarray(reader.boundStart, reader.boundEnd)
    rows.push([nameOf(table, position, clustering), mutation.subarray(reader.valueStart, reader.valueEnd)])
  }
  return rows
}

export function ringNode(i: number, datacenter: string): RingNode {
  return {
    hostId: `00000000-0000-4000-8000-00000000000${i}`,
    endpoint: `10.0.0.${i + 1}:7000`,
    clientAddress: `10.0.0.${i + 1}`,
    clientPort: 9042,
    datacenter,
    rack: 'r',
    tokens: [`${i * 1000}`],
    status: 'normal',
    capacity: 1,
  }
}

export function readCommand(position: Buffer): ReadCommand {
  return {
    table: TABLE,
    target: { kind: 'partition', position },
    slices: null,
    reversed: false,
    wantStatic: false,
    staticCounts: false,
    limit: 1,
    perPartitionLimit: 1,
    byteLimit: Number.POSITIVE_INFINITY,
    nowSeconds: 0,
    after: null,
  }
}

/** The columns' values, null when the row has none. Two columns show whether a decision is seen without those before it. */
export function valueIn({ partitions }: ReadResult): string | null {
  const row = partitions[0]?.rows[0]?.row
  if (row === undefined || !rowIsLive(new RowReader().reset(row), 0)) return null
  const columns = ['-', '-']
  const cells = new RowReader().reset(row)
  while (cells.next())
    if (cells.isLive(0)) columns[cells.columnId] = cells.buffer.toString('utf8', cells.valueStart, cells.valueEnd)
  return columns.join('|')
}

/** Writes only the columns that change. */
export function mutation(
  position: Buffer,
  { expected, value }: Extract<RegisterInput, { kind: 'cas' }>,
  { high, low }: { readonly high: number; readonly low: number },
  nowSeconds: number,
): Buffer {
  const writer = new MutationWriter()
  writer.begin(uuidBytes(TABLE), position.readInt32BE(0) ^ 0x80000000, position.readInt32BE(4), position.subarray(10))
  writer.beginRow(Buffer.alloc(0))
  const before = expected === null ? ['-', '-'] : expected.split('|')
  const after = value === null ? ['-', '-'] : value.split('|')
  after.forEach((column, id) => {
    if (value === null) writer.row.tombstone(id, high, low, nowSeconds)
    else if (column !== before[id]) writer.row.cell(id, high, low, Buffer.from(column))
  })
  writer.endRow()
  return Buffer.from(writer.finish())
}
