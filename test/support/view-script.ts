/** Views of the table of index-script.ts, and what they have to show. */
import { TABLE } from './index-script.ts'
import type { IndexWorld } from './index-world.ts'

export interface View {
  readonly name: string
  readonly columns: string
  readonly where: string
  readonly key: string
  /** WHERE as a query of the base table has it; null where IS NOT NULL is all. */
  readonly condition: string | null
}

const KEY = 'a IS NOT NULL AND b IS NOT NULL AND c IS NOT NULL AND d IS NOT NULL'

/** The first column is one that must not be null. */
export const VIEWS: readonly View[] = [
  {
    name: 'by_v',
    columns: 'v, a, b, c, d, w, x, st, l, m, f',
    where: `${KEY} AND v IS NOT NULL`,
    key: 'v, a, b, c, d',
    condition: null,
  },
  { name: 'turned', columns: 'c, d, a, b, w', where: KEY, key: 'c, d, a, b', condition: null },
  { name: 'bare', columns: 'c, d, a, b', where: KEY, key: '(b, a), d, c', condition: null },
  {
    name: 'words',
    columns: 'w, a, b, c, d, m',
    where: 'a IN (0, 5) AND b IS NOT NULL AND c > 0 AND d IS NOT NULL AND w IS NOT NULL',
    key: '(w, a), b, d, c',
    condition: 'a IN (0, 5) AND c > 0',
  },
  {
    name: 'sets',
    columns: 'f, a, b, c, d, v, x',
    where: "a IS NOT NULL AND b IS NOT NULL AND (c, d) >= (1, 'p') AND f IS NOT NULL",
    key: 'f, a, b, c, d',
    condition: null,
  },
]

export function createStatement({ name, columns, where, key }: View): string {
  const order = key === 'v, a, b, c, d' ? ' WITH CLUSTERING ORDER BY (a ASC, b DESC, c ASC, d DESC)' : ''
  return `CREATE MATERIALIZED VIEW k.${name} AS SELECT ${columns} FROM ${TABLE} WHERE ${where} PRIMARY KEY (${key})${order}`
}

/** Columns of a row as [value]s in hexadecimal; null: null. */
function cut(row: string): (string | null)[] {
  const values: (string | null)[] = []
  for (let at = 0; at < row.length; ) {
    const length = Buffer.from(row.slice(at, at + 8), 'hex').readInt32BE()
    at += 8
    values.push(length < 0 ? null : row.slice(at, at + 2 * length))
    if (length > 0) at += 2 * length
  }
  return values
}

/** The order of clusterings is left out of it: `c` descends in the base table. */
function isInTuple(row: readonly (string | null)[]): boolean {
  const c = Buffer.from(row[3]!, 'hex').readInt32BE()
  return c > 1 || (c === 1 && Buffer.from(row[4]!, 'hex').toString() >= 'p')
}

/** The rows of a view, sorted, as a scan of the table gives them. */
export async function shown(world: IndexWorld, { name, columns, condition }: View): Promise<string[]> {
  const where = condition === null ? '' : ` WHERE ${condition} ALLOW FILTERING`
  const scanned = await world.scan(`SELECT ${columns} FROM ${TABLE}${where}`)
  return scanned
    .filter((row) => {
      const values = cut(row)
      // A partition of static columns alone is one row with a null clustering.
      const clustered = columns
        .split(', ')
        .every((column, i) => (column !== 'c' && column !== 'd') || values[i] !== null)
      return clustered && values[0] !== null && (name !== 'sets' || isInTuple(values))
    })
    .sort()
}
