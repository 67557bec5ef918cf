/**
 * Writes that perhaps one replica alone has: at ONE, while nodes are cut off and nobody keeps hints. Nobody is promised that they are found, but what
 * one read at QUORUM showed all later ones show: before it is told, as many replicas have it. Reads come in pairs, through one node after another.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import { History } from '../oracles/history.ts'
import { checkLastWriteWins, type TimestampedInput, type TimestampedOutput } from '../oracles/registers.ts'
import { bigint, type Cell, fateOf, int, readBigint, readInt, text } from '../world/client.ts'
import { hasFailingDisk, type Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'
import { readPages } from './pages.ts'

const PARTITIONS = 16
const ROWS = 4
const TABLE = 'sim.glimpses'
const READ = `SELECT c, v, writetime(v) FROM ${TABLE} WHERE p = ?`
/** Of a client, at once: whoever asks a node that is cut off waits for seconds. */
const EPISODES_MAX = 10
const PAIRS = 4
const PAUSE_MS = 2_500

export function glimpses(plan: Plan): Workload {
  const history = new History<TimestampedInput, TimestampedOutput>()
  const nodes = plan.datacenters.reduce((sum, size) => sum + size, 0)
  const episodes = new Map<number, Set<Promise<void>>>()
  let last = 0

  const look = async (client: WorkloadContext, p: number, via?: number): Promise<boolean> => {
    const operations = rowsFrom(0, ROWS).map((c) =>
      history.invoke(client.process, `${p}/${c}`, { kind: 'read' }, client.now()),
    )
    const found = await readPages(client, READ, [int(p)], Consistency.QUORUM, null, via)
    if (found === null) return false
    const shown = new Map(
      found.map(([c, v, at]) => [readInt(c!), { value: v!.toString(), timestamp: readBigint(at!) }]),
    )
    for (const [c, operation] of operations.entries())
      history.complete(operation, { kind: 'read', found: shown.get(c) ?? null }, client.now())
    return true
  }

  const change = async (
    client: WorkloadContext,
    p: number,
    rows: readonly number[],
    value: string | null,
    level: 'ONE' | 'QUORUM',
    via: number,
    how: (timestamp: Cell) => { readonly statement: string; readonly values: readonly Cell[] },
  ): Promise<void> => {
    const timestamp = client.nextTimestamp()
    const operations = rows.map((c) =>
      history.invoke(client.process, `${p}/${c}`, { kind: 'write', value, timestamp }, client.now()),
    )
    const { statement, values } = how(bigint(timestamp))
    const answer = await client.ask(statement, values, { consistency: Consistency[level], via })
    const fate = fateOf(answer)
    for (const operation of operations) {
      if (fate === 'failed') history.fail(operation, client.now())
      // What one replica acknowledged stays in doubt.
      else if (fate === 'ok' && level === 'QUORUM') history.complete(operation, { kind: 'written' }, client.now())
    }
  }

  const insert = (
    client: WorkloadContext,
    p: number,
    c: number,
    level: 'ONE' | 'QUORUM',
    via: number,
  ): Promise<void> => {
    const value = `${client.process}:${++last}`
    return change(client, p, [c], value, level, via, (timestamp) => ({
      statement: `INSERT INTO ${TABLE} (p, c, v) VALUES (?, ?, ?) USING TIMESTAMP ?`,
      values: [int(p), int(c), text(value), timestamp],
    }))
  }

  const remove = (client: WorkloadContext, p: number, c: number, via: number): Promise<void> => {
    const kind = client.dice.int(5)
    const end = kind < 3 ? c + 1 + client.dice.int(ROWS) : c + 1
    const rows = kind === 4 ? rowsFrom(0, ROWS) : rowsFrom(c, end)
    return change(client, p, rows, null, 'ONE', via, (timestamp) => {
      if (kind < 3)
        return {
          statement: `DELETE FROM ${TABLE} USING TIMESTAMP ? WHERE p = ? AND c >= ? AND c < ?`,
          values: [timestamp, int(p), int(c), int(end)],
        }
      if (kind === 3)
        return {
          statement: `DELETE FROM ${TABLE} USING TIMESTAMP ? WHERE p = ? AND c = ?`,
          values: [timestamp, int(p), int(c)],
        }
      return { statement: `DELETE FROM ${TABLE} USING TIMESTAMP ? WHERE p = ?`, values: [timestamp, int(p)] }
    })
  }

  const episode = async (client: WorkloadContext): Promise<void> => {
    const { dice } = client
    const p = dice.int(PARTITIONS)
    const c = dice.int(ROWS)
    const own = dice.int(nodes)
    const other = (): number => (own + 1 + dice.int(Math.max(1, nodes - 1))) % nodes
    if (dice.chance(0.8)) await insert(client, p, c, 'QUORUM', other())
    if (dice.chance(0.6)) await remove(client, p, c, own)
    else await insert(client, p, c, 'ONE', own)
    for (let pair = 0; pair < PAIRS; pair++) {
      if (await look(client, p, own)) await look(client, p, other())
      await client.sleep(dice.int(PAUSE_MS))
    }
  }

  return {
    tables: [`CREATE TABLE IF NOT EXISTS ${TABLE} (p int, c int, v text, PRIMARY KEY (p, c))`],
    async step(client) {
      const own = episodes.get(client.process) ?? new Set()
      episodes.set(client.process, own)
      const begun = episode(client).finally(() => own.delete(begun))
      own.add(begun)
      if (own.size >= EPISODES_MAX) await Promise.race(own)
    },
    async settle() {
      for (const own of episodes.values()) await Promise.all(own)
    },
    async readAll(client) {
      for (let p = 0; p < PARTITIONS; p++) while (!(await look(client, p))) await client.sleep(500)
    },
    check: () => checkLastWriteWins(history, { monotonic: !hasFailingDisk(plan) }),
  }
}

function rowsFrom(first: number, end: number): number[] {
  return Array.from({ length: ROWS }, (_, c) => c).filter((c) => c >= first && c < end)
}
