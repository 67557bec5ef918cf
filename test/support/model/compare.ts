/**
 * Holds what the store answered against what the judge allows, partition by partition and row by row, in the order in which a reader gets them.
 * What was open and is now seen is settled, if the whole answer is right.
 */
import type { PartitionData, ReadResult } from '../../../storage/model/command.ts'
import { RowReader } from '../../../storage/model/row.ts'
import type { Deletion, Judge, PartitionHistory, RowHistory, Version } from './judge.ts'

/** What was asked, in the model's words. */
export interface Question {
  /** Indexes of partitions, in the order of positions. */
  readonly partitions: readonly number[]
  readonly isPoint: boolean
  readonly slices: readonly { readonly start: string; readonly end: string }[] | null
  readonly reversed: boolean
  readonly wantStatic: boolean
  readonly staticCounts: boolean
  readonly limit: number
  readonly perPartitionLimit: number
  readonly byteLimit: number
  readonly columns: readonly number[] | null
  /** Where it goes on: of this partition `rowsGiven` rows were given, the last with this clustering. */
  readonly after: {
    readonly partition: number
    readonly clustering: string | null
    readonly rowsGiven: number
  } | null
}

export interface Comparer {
  readonly judge: Judge
  readonly nowSeconds: number
  readonly key: (partition: number) => string
}

const EVERYTHING = [{ start: '', end: '\xff' }]

/** The first difference, or null. `settle` false: nothing that is open is settled. */
export function compareRead(comparer: Comparer, question: Question, result: ReadResult, settle = true): string | null {
  const comparison = new Comparison(comparer, question, result)
  const wrong = comparison.run()
  if (wrong === null && settle) comparison.settle()
  return wrong
}

export function describeResult(result: ReadResult, nowSeconds: number): string {
  const lines: string[] = []
  for (const { key, staticRow, rows } of result.partitions) {
    lines.push(`${text(key.toString('latin1'))}:`)
    if (staticRow) lines.push(`  static ${describeRow(staticRow, nowSeconds)}`)
    for (const { clustering, row } of rows)
      lines.push(`  ${text(clustering.toString('latin1'))} ${describeRow(row, nowSeconds)}`)
  }
  lines.push(result.more ? 'more' : 'no more')
  return lines.join('\n')
}

class Comparison {
  readonly #comparer: Comparer
  readonly #question: Question
  readonly #result: ReadResult
  readonly #reader = new RowReader()
  readonly #settled: { readonly version: Version; readonly fate: 'counts' | 'hidden' }[] = []
  #rows = 0
  /** The next of the partitions that were given, and the index of the one that is looked at. */
  #next = 0
  #at = -1

  constructor(comparer: Comparer, question: Question, result: ReadResult) {
    this.#comparer = comparer
    this.#question = question
    this.#result = result
  }

  settle(): void {
    for (const { version, fate } of this.#settled) version.fate = fate
  }

  run(): string | null {
    const { partitions, limit, byteLimit, isPoint } = this.#question
    const { more } = this.#result
    for (const index of partitions) {
      if (more && (this.#rows >= limit || (byteLimit !== Infinity && this.#next === this.#result.partitions.length)))
        break
      const wrong = this.#partition(index)
      if (wrong !== null) return `partition ${text(this.#comparer.key(index))}: ${wrong}`
    }
    const left = this.#result.partitions[this.#next]
    if (left) return `partition ${text(left.key.toString('latin1'))} was not to come here`
    if (this.#rows > limit) return `${this.#rows} rows, the limit is ${limit}`
    if (more && this.#rows < limit && byteLimit === Infinity) return 'more is promised, but no limit was met'
    if (more && isPoint) return 'more is promised of a single row'
    if (more && this.#result.partitions.length === 0) return 'more is promised, but nothing given'
    return null
  }

  #partition(index: number): string | null {
    const { judge, key } = this.#comparer
    this.#at = index
    const { wantStatic, staticCounts, limit, perPartitionLimit, byteLimit, after } = this.#question
    const history = judge.partition(index)
    const given = this.#result.partitions[this.#next]
    const isGiven = given?.key.toString('latin1') === key(index)
    const before = after?.partition === index ? after.rowsGiven : 0
    let staticWrong: string | null = null
    if (wantStatic && history) {
      const seen = (isGiven && given!.staticRow) || null
      // A partition that goes on and has no more rows is not given at all, its static row neither.
      if (isGiven || before === 0) staticWrong = this.#row(history, history.staticRow, seen)
    } else if (isGiven && given!.staticRow) staticWrong = 'a static row that was never written, or not asked for'
    const most = Math.min(this.#result.more ? limit - this.#rows : Infinity, perPartitionLimit - before)
    const cutShort = this.#result.more && byteLimit !== Infinity && this.#next === this.#result.partitions.length - 1
    if (staticWrong !== null && !(cutShort && !isGiven)) return `static row: ${staticWrong}`
    if (isGiven) {
      const wrong = this.#rowsOf(history, given!, most, cutShort)
      if (wrong !== null) return wrong
      this.#next++
      this.#rows += given!.rows.length
      if (given!.rows.length > most) return `${given!.rows.length} rows, at most ${most} were asked for`
      if (given!.rows.length === 0 && staticCounts) this.#rows++
      if (given!.rows.length === 0 && (given!.staticRow === null || before > 0)) return 'given, though there is nothing'
      return null
    }
    return history === null ? null : this.#rowsOf(history, null, most, false)
  }

  /** Goes through the rows that may be there, and those that were given, in the order asked for. */
  #rowsOf(
    history: PartitionHistory | null,
    given: PartitionData | null,
    most: number,
    cutShort: boolean,
  ): string | null {
    const { reversed } = this.#question
    const rows = given?.rows ?? []
    let at = 0
    const histories = history?.rows ?? []
    const count = histories.length
    for (let i = 0; i < count; i++) {
      if (at >= most || (cutShort && at === rows.length)) break
      const row = histories[reversed ? count - 1 - i : i]!
      if (!this.#isAsked(row.clustering)) continue
      const next = rows[at]
      const isNext = next !== undefined && next.clustering.toString('latin1') === row.clustering
      const wrong = this.#row(history!, row, isNext ? next.row : null)
      if (wrong !== null) return `row ${text(row.clustering)}: ${wrong}`
      if (isNext) at++
    }
    if (at < rows.length) return `row ${text(rows[at]!.clustering.toString('latin1'))} was not to come here`
    return null
  }

  #isAsked(clustering: string): boolean {
    const { slices, reversed, after } = this.#question
    if (after !== null && after.clustering !== null && after.partition === this.#at)
      if (reversed ? clustering >= after.clustering : clustering <= after.clustering) return false
    return (slices ?? EVERYTHING).some(({ start, end }) => start <= clustering && clustering < end)
  }

  #row(history: PartitionHistory, row: RowHistory, seen: Buffer | null): string | null {
    const { judge, nowSeconds } = this.#comparer
    // A row that is not given has nothing live in any column.
    const columns = seen === null ? null : this.#question.columns
    const covers = history.covers(row)
    const reader = seen === null ? null : this.#reader.reset(seen)
    let isSeen = false
    if (reader?.livenessIsLive(nowSeconds)) isSeen = true
    const live = isSeen
      ? {
          ts: joined(reader!.livenessTsHigh, reader!.livenessTsLow),
          ttl: reader!.livenessTtl,
          localTime: reader!.livenessExpiresAt,
          value: '',
        }
      : null
    const wrong = this.#place(judge.candidates(row.liveness, covers, nowSeconds), live)
    if (wrong !== null) return `liveness: ${wrong}`
    let has = reader !== null && this.#toLive(reader)
    if (has) isSeen = true
    for (const { column, path, versions } of row.slots) {
      const complex = row.complexDeletions.get(column)
      while (has && isIgnored(columns, reader!.columnId)) has = this.#toLive(reader!)
      const isHere = has && reader!.columnId === column && pathOf(reader!) === path
      const cell = isHere ? cellOf(reader!) : null
      if (isHere) has = this.#toLive(reader!)
      if (isIgnored(columns, column)) continue
      const all: readonly Deletion[] = complex ? [...covers, ...complex] : covers
      const wrong = this.#place(judge.candidates(versions, all, nowSeconds), cell)
      if (wrong !== null) return `column ${column}${path === null ? '' : ` path ${text(path)}`}: ${wrong}`
    }
    while (has && isIgnored(columns, reader!.columnId)) has = this.#toLive(reader!)
    if (has) return `column ${reader!.columnId}: a cell that was never written, or not in its order`
    if (seen !== null && !isSeen) return 'given, though nothing of it is live'
    return null
  }

  #toLive(reader: RowReader): boolean {
    while (reader.next()) if (reader.isLive(this.#comparer.nowSeconds)) return true
    return false
  }

  /** One place of a row: what may be seen there, and what is. */
  #place(candidates: readonly Version[], seen: Seen | null): string | null {
    for (const version of candidates) {
      const { fate, ts, ttl, value, kind, localTime } = version
      const isIt =
        seen !== null &&
        seen.ts === ts &&
        seen.ttl === ttl &&
        seen.value === value &&
        (kind === 'live' || seen.localTime === localTime)
      if (isIt) {
        if (fate === 'open') this.#settled.push({ version, fate: 'counts' })
        return null
      }
      if (fate === 'counts') return `${describe(seen)} is seen, ${describe(version)} was written`
      this.#settled.push({ version, fate: 'hidden' })
    }
    return seen === null ? null : `${describe(seen)} is seen, nothing is to be`
  }
}

interface Seen {
  readonly ts: number
  readonly ttl: number
  readonly localTime: number
  readonly value: string
}

function isIgnored(columns: readonly number[] | null, column: number): boolean {
  return columns !== null && !columns.includes(column)
}

function pathOf(reader: RowReader): string | null {
  return reader.hasPath ? reader.buffer.toString('latin1', reader.pathStart, reader.pathEnd) : null
}

function cellOf(reader: RowReader): Seen {
  return {
    ts: joined(reader.tsHigh, reader.tsLow),
    ttl: reader.ttl,
    localTime: reader.localDeletionTime,
    value: reader.buffer.toString('latin1', reader.valueStart, reader.valueEnd),
  }
}

function joined(high: number, low: number): number {
  return high * 0x1_0000_0000 + low
}

function describe(seen: Seen | null): string {
  if (seen === null) return 'nothing'
  const value = seen.value.length > 30 ? `${seen.value.slice(0, 30)}… (${seen.value.length})` : seen.value
  return `${text(value)} @${seen.ts}${seen.ttl > 0 ? ` ttl ${seen.ttl} until ${seen.localTime}` : ''}`
}

function describeRow(row: Buffer, nowSeconds: number): string {
  const reader = new RowReader().reset(row)
  const parts: string[] = []
  if (reader.livenessIsLive(nowSeconds)) parts.push(`live @${joined(reader.livenessTsHigh, reader.livenessTsLow)}`)
  while (reader.next())
    if (reader.isLive(nowSeconds)) parts.push(`${reader.columnId}/${pathOf(reader) ?? ''}=${describe(cellOf(reader))}`)
  return parts.join(', ')
}

function text(raw: string): string {
  return JSON.stringify(raw)
}
