/**
 * A table as a list of everything that was ever written to it: slow, obvious, the judge of the store. What a reader sees is worked out anew
 * for each read from BigInt timestamps and maps, with none of the store's code but the encoding of rows.
 */
import { ALL_ROWS, type ReadCommand, type ReadResult } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { RowReader } from '../../storage/model/row.ts'
import type { Dice } from './random.ts'

export interface ModelCell {
  readonly column: number
  /** Null: a simple column. */
  readonly path: string | null
  readonly kind: 'live' | 'expiring' | 'tombstone' | 'complex'
  readonly ts: bigint
  readonly localTime: number
  readonly ttl: number
  readonly value: string
}

export type Change =
  | { readonly kind: 'partition'; readonly ts: bigint; readonly localTime: number }
  | {
      readonly kind: 'range'
      readonly start: string
      readonly end: string
      readonly ts: bigint
      readonly localTime: number
    }
  | {
      readonly kind: 'row'
      readonly isStatic: boolean
      readonly clustering: string
      readonly liveness: { readonly ts: bigint; readonly ttl: number; readonly expiresAt: number } | null
      readonly deletion: { readonly ts: bigint; readonly localTime: number } | null
      readonly cells: readonly ModelCell[]
    }

export interface ModelWrite {
  readonly partition: string
  readonly changes: readonly Change[]
}

/** All writes of one partition, in order. */
export type Model = Map<string, Change[]>

export const NOW = 1_000

/** Reads all partitions of a table, with all that is in them. */
export function everythingIn(table: string, nowSeconds = NOW): ReadCommand {
  return {
    ...ALL_ROWS,
    table,
    target: { kind: 'range', start: null, end: null },
    wantStatic: true,
    staticCounts: true,
    nowSeconds,
  }
}

export const high = (ts: bigint): number => Number(BigInt.asIntN(32, ts >> 32n))
export const low = (ts: bigint): number => Number(BigInt.asUintN(32, ts))
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

const TIMESTAMPS = [-(2n ** 40n), -1n, 0n, 1n, 2n, 3n, 2n ** 31n, 2n ** 32n, 2n ** 32n + 1n, 2n ** 50n]
const VALUES = ['', 'a', 'b', 'ab', '\x00', '\x80', 'x'.repeat(200)]
/** Around NOW, so that some have expired. */
const TIMES = [NOW - 1, NOW, NOW + 1, NOW + 500]
const CLUSTERINGS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const PARTITIONS = ['p', 'q', 'longer partition key', 's']
const PATHS = ['', 'a', 'aa', 'b']

/** A token that orders partitions otherwise than their names do, and sometimes clashes. */
function token(partition: string): { high: number; low: number } {
  return { high: partition.length % 2 === 0 ? -5 : 7, low: partition.length > 2 ? 1 : 0 }
}

export function randomWrite(dice: Dice, tsOnly?: bigint): ModelWrite {
  const ts = (): bigint => tsOnly ?? dice.pick(TIMESTAMPS)
  const changes: Change[] = []
  for (let n = 1 + dice.int(3); n > 0; n--) {
    const roll = dice.int(20)
    if (roll === 0) changes.push({ kind: 'partition', ts: ts(), localTime: dice.pick(TIMES) })
    else if (roll < 4) {
      const from = dice.int(CLUSTERINGS.length)
      const to = from + dice.int(CLUSTERINGS.length - from + 1)
      const start = dice.chance(0.2) ? '' : CLUSTERINGS[from]! + (dice.chance(0.3) ? '`' : '')
      const end = to < CLUSTERINGS.length ? CLUSTERINGS[to]! + (dice.chance(0.3) ? '`' : '') : '\xff'
      changes.push({ kind: 'range', start, end, ts: ts(), localTime: dice.pick(TIMES) })
    } else changes.push(randomRow(dice, ts))
  }
  return { partition: dice.pick(PARTITIONS), changes }
}

function randomRow(dice: Dice, ts: () => bigint): Change {
  const isStatic = dice.chance(0.1)
  const clustering = isStatic ? '' : dice.pick(CLUSTERINGS)
  const ttl = dice.pick([0, 0, 0, 10, 20])
  const time = ts()
  const cells: ModelCell[] = []
  for (let column = 0; column < 5; column++) {
    if (dice.chance(0.5)) continue
    const paths = column < 3 ? [null] : PATHS.filter(() => dice.chance(0.5))
    if (column >= 3 && dice.chance(0.3))
      cells.push({ column, path: null, kind: 'complex', ts: ts(), localTime: dice.pick(TIMES), ttl: 0, value: '' })
    for (const path of paths) {
      const kind = dice.pick(['live', 'live', 'expiring', 'tombstone'] as const)
      cells.push({
        column,
        path,
        kind,
        ts: dice.chance(0.6) ? time : ts(),
        localTime: dice.pick(TIMES),
        ttl: kind === 'expiring' ? (ttl !== 0 && dice.chance(0.5) ? ttl : dice.pick([10, 20])) : 0,
        value: kind === 'tombstone' ? '' : dice.pick(VALUES),
      })
    }
  }
  return {
    kind: 'row',
    isStatic,
    clustering,
    liveness: isStatic || dice.chance(0.4) ? null : { ts: time, ttl, expiresAt: dice.pick(TIMES) },
    deletion: !isStatic && dice.chance(0.15) ? { ts: ts(), localTime: dice.pick(TIMES) } : null,
    cells,
  }
}

export function record(model: Model, write: ModelWrite): void {
  const changes = model.get(write.partition)
  if (changes) changes.push(...write.changes)
  else model.set(write.partition, [...write.changes])
}

/** The write as the bytes of a mutation, a copy. */
export function encodeWrite(write: ModelWrite, tableId: Buffer): Buffer {
  const writer = new MutationWriter()
  const at = token(write.partition)
  writer.begin(tableId, at.high, at.low, latin(write.partition))
  for (const change of write.changes) {
    if (change.kind === 'partition') writer.partitionDeletion(high(change.ts), low(change.ts), change.localTime)
    else if (change.kind === 'range') {
      const { start, end, ts, localTime } = change
      writer.rangeTombstone(latin(start), latin(end), high(ts), low(ts), localTime)
    } else {
      if (change.isStatic) writer.beginStaticRow()
      else writer.beginRow(latin(change.clustering))
      const { liveness, deletion } = change
      if (liveness) writer.row.liveness(high(liveness.ts), low(liveness.ts), liveness.ttl, liveness.expiresAt)
      if (deletion) writer.row.deletion(high(deletion.ts), low(deletion.ts), deletion.localTime)
      for (const cell of change.cells) encodeCell(writer, cell)
      writer.endRow()
    }
  }
  return Buffer.from(writer.finish())
}

function encodeCell(writer: MutationWriter, cell: ModelCell): void {
  const { column, path, kind, ts, localTime, ttl } = cell
  const value = latin(cell.value)
  if (kind === 'complex') writer.row.complexDeletion(column, high(ts), low(ts), localTime)
  else if (path === null) {
    if (kind === 'live') writer.row.cell(column, high(ts), low(ts), value)
    else if (kind === 'expiring') writer.row.expiringCell(column, high(ts), low(ts), ttl, localTime, value)
    else writer.row.tombstone(column, high(ts), low(ts), localTime)
  } else if (kind === 'live') writer.row.pathCell(column, latin(path), high(ts), low(ts), value)
  else if (kind === 'expiring')
    writer.row.expiringPathCell(column, latin(path), high(ts), low(ts), ttl, localTime, value)
  else writer.row.pathTombstone(column, latin(path), high(ts), low(ts), localTime)
}

export function encodePosition(partition: string): Buffer {
  const at = token(partition)
  const head = Buffer.alloc(10)
  head.writeInt32BE(at.high ^ 0x80000000, 0)
  head.writeUInt32BE(at.low, 4)
  head.writeUInt16BE(partition.length, 8)
  return Buffer.concat([head, latin(partition)])
}

/** What a reader sees of a row: its liveness and its live cells, as text. */
export interface SeenRow {
  readonly clustering: string
  readonly liveness: string
  readonly cells: readonly string[]
}

export interface SeenPartition {
  readonly partition: string
  readonly statics: readonly string[] | null
  readonly rows: readonly SeenRow[]
}

/** All live rows of the model, partitions in the order of their positions. */
export function modelView(model: Model, now: number): SeenPartition[] {
  const seen: SeenPartition[] = []
  const partitions = [...model.keys()].sort((a, b) => encodePosition(a).compare(encodePosition(b)))
  for (const partition of partitions) {
    const changes = model.get(partition)!
    const statics = visible(changes, null, now)
    const rows: SeenRow[] = []
    for (const clustering of CLUSTERINGS) {
      const row = visible(changes, clustering, now)
      if (row) rows.push(row)
    }
    if (statics || rows.length > 0) seen.push({ partition, statics: statics?.cells ?? null, rows })
  }
  return seen
}

/** Clustering null: the static row. */
function visible(changes: readonly Change[], clustering: string | null, now: number): SeenRow | null {
  let deletedTo: bigint | null = null
  const delete_ = (ts: bigint): void => {
    if (deletedTo === null || ts > deletedTo) deletedTo = ts
  }
  const rows: Extract<Change, { kind: 'row' }>[] = []
  for (const change of changes) {
    if (change.kind === 'partition') delete_(change.ts)
    else if (change.kind === 'range') {
      if (clustering !== null && change.start <= clustering && clustering < change.end) delete_(change.ts)
    } else if (clustering === null ? change.isStatic : !change.isStatic && change.clustering === clustering) {
      rows.push(change)
      if (change.deletion) delete_(change.deletion.ts)
    }
  }
  const covered = (ts: bigint): boolean => deletedTo !== null && ts <= deletedTo
  const livenesses = rows.flatMap(({ liveness }) => (liveness && !covered(liveness.ts) ? [liveness] : []))
  livenesses.sort(
    (a, b) =>
      Number(b.ts > a.ts) - Number(b.ts < a.ts) ||
      Number(b.ttl > 0) - Number(a.ttl > 0) ||
      (a.ttl > 0 ? b.expiresAt - a.expiresAt : 0) ||
      a.ttl - b.ttl,
  )
  const best = livenesses[0]
  const alive = best && (best.ttl === 0 || best.expiresAt > now)
  const cells = new Map<string, ModelCell[]>()
  const complex = new Map<number, bigint>()
  for (const row of rows)
    for (const cell of row.cells) {
      if (cell.kind === 'complex') {
        const before = complex.get(cell.column)
        if (before === undefined || cell.ts > before) complex.set(cell.column, cell.ts)
      } else {
        const name = `${cell.column}/${cell.path ?? '-'}`
        const list = cells.get(name)
        if (list) list.push(cell)
        else cells.set(name, [cell])
      }
    }
  const shown: string[] = []
  for (const [name, list] of [...cells].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const winner = list.sort(strongestFirst)[0]!
    if (covered(winner.ts) || winner.ts <= (complex.get(winner.column) ?? -(2n ** 63n))) continue
    if (winner.kind === 'tombstone' || (winner.kind === 'expiring' && winner.localTime <= now)) continue
    const expiry = winner.kind === 'expiring' ? `/${winner.ttl}@${winner.localTime}` : ''
    shown.push(`${name}=${winner.value}@${winner.ts}${expiry}`)
  }
  if (!alive && shown.length === 0) return null
  const expiry = alive && best.ttl > 0 ? `/${best.ttl}@${best.expiresAt}` : ''
  return { clustering: clustering ?? '', liveness: alive ? `${best.ts}${expiry}` : '', cells: shown }
}

const RANK = { tombstone: 0, expiring: 1, live: 2, complex: 3 }

function strongestFirst(a: ModelCell, b: ModelCell): number {
  if (a.ts !== b.ts) return a.ts > b.ts ? -1 : 1
  if (a.kind !== b.kind) return RANK[a.kind] - RANK[b.kind]
  if (a.kind !== 'live' && a.localTime !== b.localTime) return b.localTime - a.localTime
  if (a.value !== b.value) return a.value > b.value ? -1 : 1
  return a.ttl - b.ttl
}

/** What the store answered, in the model's words. */
export function storeView(result: ReadResult, now: number): SeenPartition[] {
  return result.partitions.map(({ key, staticRow, rows }) => ({
    partition: key.toString('latin1'),
    statics: staticRow ? seenRow('', staticRow, now).cells : null,
    rows: rows.map(({ clustering, row }) => seenRow(clustering.toString('latin1'), row, now)),
  }))
}

function seenRow(clustering: string, row: Buffer, now: number): SeenRow {
  const reader = new RowReader().reset(row)
  const ts = (tsHigh: number, tsLow: number): bigint => (BigInt(tsHigh) << 32n) + BigInt(tsLow)
  let liveness = ''
  if (reader.livenessIsLive(now)) {
    const expiry = reader.livenessTtl > 0 ? `/${reader.livenessTtl}@${reader.livenessExpiresAt}` : ''
    liveness = `${ts(reader.livenessTsHigh, reader.livenessTsLow)}${expiry}`
  }
  const cells: string[] = []
  while (reader.next()) {
    if (!reader.isLive(now)) continue
    const path = reader.hasPath ? reader.buffer.toString('latin1', reader.pathStart, reader.pathEnd) : '-'
    const value = reader.buffer.toString('latin1', reader.valueStart, reader.valueEnd)
    const expiry = reader.isExpiring ? `/${reader.ttl}@${reader.localDeletionTime}` : ''
    cells.push(`${reader.columnId}/${path}=${value}@${ts(reader.tsHigh, reader.tsLow)}${expiry}`)
  }
  return { clustering, liveness, cells: cells.sort((a, b) => (a.split('=')[0]! < b.split('=')[0]! ? -1 : 1)) }
}
