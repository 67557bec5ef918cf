/** Reads page by page, each through whatever node the client is connected to then. */
import type { Cell } from '../world/client.ts'
import type { WorkloadContext } from './index.ts'

/** Null: not all pages were answered. `pageSize` null: all at once. */
export async function readPages(
  client: WorkloadContext,
  statement: string,
  values: readonly Cell[],
  consistency: number,
  pageSize: number | null,
  via?: number,
): Promise<readonly (readonly Cell[])[] | null> {
  const rows: (readonly Cell[])[] = []
  let pagingState: Buffer | null = null
  for (let failures = 0; ; ) {
    const answer = await client.ask(statement, values, {
      consistency,
      pageSize,
      pagingState,
      ...(via !== undefined && { via }),
    })
    if (answer.kind !== 'rows') {
      // A page that failed may be asked for again.
      if (++failures > 3 || !client.dice.chance(0.7)) return null
      continue
    }
    rows.push(...answer.rows)
    if (answer.pagingState === null) return rows
    pagingState = answer.pagingState
  }
}
