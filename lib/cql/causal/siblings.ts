/**
 * Rows of a vector-clock table as CQL shows them: each sibling a row of its own, in order of their dots, with the elements of or-set columns in all
 * of them; or what the table's resolvers make of them. All that stands behind it (filters, functions, groups, limits) sees ordinary rows.
 * Always: what is given are views as storage's own are, and hold as long.
 */
import { DOT_BYTES } from '../../../storage/model/causal/context.ts'
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { type PartitionData, RowData } from '../../../storage/model/command.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { orSetColumns } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'
import { type Resolver, resolverPlan, type Version } from './resolve.ts'

/** What all rows of one key have in common. */
export class SiblingKey {
  /** How many rows the key has. */
  readonly count: number
  readonly #row: RowData
  readonly #nowSeconds: number
  #context: Buffer | null = null

  constructor(row: RowData, nowSeconds: number, count: number) {
    this.count = count
    this.#row = row
    this.#nowSeconds = nowSeconds
  }

  /** What a reader of them has seen: worked out when somebody asks. */
  get context(): Buffer {
    const { rowBuffer, rowStart, rowEnd } = this.#row
    this.#context ??= new CausalRow().reset(rowBuffer, this.#nowSeconds, rowStart, rowEnd).context
    return this.#context
  }
}

/** One of a key's rows. */
export class Sibling extends RowData {
  readonly #dots: Buffer
  readonly #dotStart: number
  /** More rows of the key follow. */
  readonly hasNext: boolean
  readonly siblings: SiblingKey

  constructor(place: RowData, version: Bytes, dot: DotPlace, hasNext: boolean, siblings: SiblingKey) {
    const { clusteringBuffer, clusteringStart, clusteringEnd } = place
    super(
      clusteringBuffer,
      clusteringStart,
      clusteringEnd,
      version.versionBuffer,
      version.versionStart,
      version.versionEnd,
      false,
    )
    this.#dots = dot.dotBuffer
    this.#dotStart = dot.dotStart
    this.hasNext = hasNext
    this.siblings = siblings
  }

  /** What rows of one key are ordered by. */
  get dot(): Buffer {
    return this.#dots.subarray(this.#dotStart, this.#dotStart + DOT_BYTES)
  }

  /** The row's place among others, without its bytes: it stays. */
  place(): Sibling {
    const place = RowData.of(Buffer.from(this.clustering), NOTHING)
    return new Sibling(place, bytesOf(NOTHING), dotPlace(Buffer.from(this.dot)), this.hasNext, this.siblings)
  }
}

/** Where a version lies, as CausalRow tells it. */
interface Bytes {
  readonly versionBuffer: Buffer
  readonly versionStart: number
  readonly versionEnd: number
}

interface DotPlace {
  readonly dotBuffer: Buffer
  readonly dotStart: number
}

function bytesOf(row: Buffer): Bytes {
  return { versionBuffer: row, versionStart: 0, versionEnd: row.length }
}

function dotPlace(dot: Buffer): DotPlace {
  return { dotBuffer: dot, dotStart: 0 }
}

const NOTHING = Buffer.alloc(0)

/** Shows rows of one table; it serves all reads of it one after another. */
export class Siblings {
  readonly #state = new CausalRow()
  readonly #law = new LastWriteWins()
  readonly #hasElements: boolean
  readonly #resolver: Resolver | null

  constructor(table: TableSchema) {
    this.#hasElements = orSetColumns(table).length > 0
    this.#resolver = resolverPlan(table)
  }

  /** The same partitions, their rows as they are shown. `tell`: gets the number of versions of each row that is live. */
  expand(
    partitions: readonly PartitionData[],
    nowSeconds: number,
    tell: (versions: number) => void = nobody,
  ): PartitionData[] {
    const shown: PartitionData[] = []
    for (const { position, key, rows: stored } of partitions) {
      const rows: Sibling[] = []
      for (const row of stored) this.#add(rows, row, nowSeconds, tell)
      if (rows.length > 0) shown.push({ position, key, staticRow: null, rows })
    }
    return shown
  }

  /** Appends what a row is shown as. */
  #add(rows: Sibling[], row: RowData, nowSeconds: number, tell: (versions: number) => void): void {
    const state = this.#state.reset(row.rowBuffer, nowSeconds, row.rowStart, row.rowEnd)
    if (!state.next()) {
      const elements = this.#hasElements ? state.elements() : null
      const siblings = new SiblingKey(row, nowSeconds, 1)
      if (elements !== null) rows.push(new Sibling(row, bytesOf(elements), NO_DOT, false, siblings))
      return
    }
    const first = rows.length
    if (!this.#hasElements) {
      // Most keys have one version: nothing is made for the others before there are any.
      rows.push(new Sibling(row, state, state, false, new SiblingKey(row, nowSeconds, 1)))
      if (!state.next()) {
        tell(1)
        return
      }
      rows.pop()
    }
    const count = state.count()
    tell(count)
    if (this.#resolver !== null && count > 1) {
      this.#addResolved(rows, row, state, nowSeconds)
      return
    }
    const elements = this.#hasElements ? state.elements() : null
    const siblings = new SiblingKey(row, nowSeconds, count)
    while (state.next()) {
      const version = elements === null ? state : bytesOf(this.#joined(state.version, elements))
      rows.push(new Sibling(row, version, state, rows.length - first + 1 < count, siblings))
    }
  }

  /** The versions as the table's resolver has them. */
  #addResolved(rows: Sibling[], row: RowData, state: CausalRow, nowSeconds: number): void {
    const all: Version[] = []
    while (state.next()) all.push({ row: state.version, dot: state.dot, counter: state.counter })
    const versions = this.#resolver!.resolve(all, nowSeconds)
    const elements = this.#hasElements ? state.elements() : null
    const siblings = new SiblingKey(row, nowSeconds, versions.length)
    for (let i = 0; i < versions.length; i++) {
      const { row: bytes, dot } = versions[i]!
      const version = bytesOf(this.#joined(bytes, elements))
      rows.push(new Sibling(row, version, dotPlace(dot), i + 1 < versions.length, siblings))
    }
  }

  /** A version with the elements, which are of columns that it does not hold itself. */
  #joined(version: Buffer, elements: Buffer | null): Buffer {
    if (elements === null) return version
    const out = new ByteWriter(version.length + elements.length)
    this.#law.merge(out, version, 0, version.length, elements, 0, elements.length)
    return out.view()
  }
}

function nobody(): void {}

/** Before all others: of a row that has elements and no version. */
const NO_DOT = dotPlace(NOTHING)

/** What a client is told whose result has keys with several rows. */
export function conflictWarning(keys: number, { keyspace, name }: TableSchema): string {
  const those = keys === 1 ? '1 key has' : `${keys} keys have`
  return (
    `${those} siblings in ${keyspace}.${name}: writes that had not seen each other. Write back what they come to ` +
    'with USING VCLOCK and their vclock(*)'
  )
}
