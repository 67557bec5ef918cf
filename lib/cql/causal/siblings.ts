/**
 * Rows of a vector-clock table as CQL shows them: each sibling a row of its own, in order of their dots, with the elements of or-set columns in all
 * of them; or what the table's resolvers make of them. All that stands behind it (filters, functions, groups, limits) sees ordinary rows.
 * Always: what is given are views as storage's own are, and hold as long.
 */
import { CausalRow } from '../../../storage/model/causal/state.ts'
import { type PartitionData, RowData } from '../../../storage/model/command.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import { ByteWriter } from '../../base/bytes.ts'
import { orSetColumns } from '../../schema/resolution.ts'
import type { TableSchema } from '../../schema/table.ts'
import { type Resolver, resolverPlan, type Version } from './resolve.ts'

/** What all rows of one key have in common. */
export interface SiblingKey {
  /** What a reader of them has seen. */
  readonly context: Buffer
  /** How many rows the key has. */
  readonly count: number
}

/** One of a key's rows. */
export class Sibling extends RowData {
  /** What rows of one key are ordered by. */
  readonly dot: Buffer
  /** More rows of the key follow. */
  readonly hasNext: boolean
  readonly siblings: SiblingKey

  constructor(place: RowData, row: Buffer, dot: Buffer, hasNext: boolean, siblings: SiblingKey) {
    super(place.clusteringBuffer, place.clusteringStart, place.clusteringEnd, row, 0, row.length, false)
    this.dot = dot
    this.hasNext = hasNext
    this.siblings = siblings
  }

  /** The row's place among others, without its bytes: it stays. */
  place(): Sibling {
    const place = RowData.of(Buffer.from(this.clustering), NOTHING)
    return new Sibling(place, NOTHING, Buffer.from(this.dot), this.hasNext, this.siblings)
  }
}

const NOTHING = Buffer.alloc(0)

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
    const state = this.#state.reset(row.row, nowSeconds)
    if (!state.next()) {
      const elements = this.#hasElements ? state.elements() : null
      if (elements !== null) rows.push(new Sibling(row, elements, NO_DOT, false, { context: state.context, count: 1 }))
      return
    }
    const { version, dot, counter } = state
    if (!state.next()) {
      tell(1)
      const elements = this.#hasElements ? state.elements() : null
      const siblings = { context: state.context, count: 1 }
      rows.push(new Sibling(row, this.#joined(version, elements), dot, false, siblings))
      return
    }
    let versions: Version[] = [{ row: version, dot, counter }]
    do versions.push({ row: state.version, dot: state.dot, counter: state.counter })
    while (state.next())
    tell(versions.length)
    if (this.#resolver !== null) versions = this.#resolver.resolve(versions, nowSeconds)
    const siblings = { context: state.context, count: versions.length }
    const elements = this.#hasElements ? state.elements() : null
    for (let i = 0; i < versions.length; i++) {
      const { row: bytes, dot: own } = versions[i]!
      rows.push(new Sibling(row, this.#joined(bytes, elements), own, i + 1 < versions.length, siblings))
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
const NO_DOT = Buffer.alloc(0)

/** What a client is told whose result has keys with several rows. */
export function conflictWarning(keys: number, { keyspace, name }: TableSchema): string {
  const those = keys === 1 ? '1 key has' : `${keys} keys have`
  return (
    `${those} siblings in ${keyspace}.${name}: writes that had not seen each other. Write back what they come to ` +
    'with USING VCLOCK and their vclock(*)'
  )
}
