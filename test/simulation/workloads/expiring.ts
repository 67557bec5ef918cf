/**
 * Registers whose values live for some seconds: what has expired is not shown any more, what has not is, and neither comes back what it covered: not from a
 * replica that was away meanwhile, not through a clock that jumps, not when gc_grace has passed and compactions have forgotten it. For the last all replicas are
 * read once, as repair would, before all clocks jump ahead.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import { checkExpiry, type ExpiryInput, type ExpiryOutput, type Seconds } from '../oracles/expiry.ts'
import { History } from '../oracles/history.ts'
import { bigint, type Cell, fateOf, int, readBigint, text } from '../world/client.ts'
import type { WallSpan } from '../world/node.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const KEYS = 12
const TTL_MAX = 8
/** More than any clock of a plan is ahead. */
const GC_GRACE = 600
const TABLE = 'sim.expiring'
const READ = `SELECT v, writetime(v) FROM ${TABLE} WHERE k = ?`
/** So that files hold more than what tells of them; of many letters, or little would be left of it there. */
const PADDING = Array.from({ length: 120 }, (_, i) => String.fromCharCode(33 + ((i * 37 + i * i) % 90))).join('')

export function expiring(plan: Plan): Workload {
  const { levels, datacenters } = plan
  const history = new History<ExpiryInput, ExpiryOutput>()
  const nodes = datacenters.reduce((sum, size) => sum + size, 0)
  let last = 0

  const read = async (client: WorkloadContext, key: number, via: number): Promise<boolean> => {
    const operation = history.invoke(client.process, String(key), { kind: 'read' }, client.now())
    const before = client.wall(via)
    const answer = await client.ask(READ, [int(key)], { consistency: Consistency[levels.read], via })
    if (answer.kind !== 'rows') return false
    const [v, at] = answer.rows[0] ?? []
    const found = v ? { value: unpadded(v.toString()), timestamp: readBigint(at!) } : null
    const output: ExpiryOutput = {
      kind: 'read',
      found,
      at: secondsOf(before, client.wall(via)),
      latest: Math.floor(client.latestWallMicros() / 1e6),
    }
    history.complete(operation, output, client.now())
    return true
  }

  const write = async (client: WorkloadContext, key: number, value: string | null, ttl: number): Promise<void> => {
    const timestamp = client.nextTimestamp()
    const via = client.dice.int(nodes)
    const operation = history.invoke(
      client.process,
      String(key),
      { kind: 'write', value, timestamp, ttl },
      client.now(),
    )
    const before = client.wall(via)
    const [statement, values]: [string, Cell[]] =
      value === null
        ? [`DELETE v FROM ${TABLE} USING TIMESTAMP ? WHERE k = ?`, [bigint(timestamp), int(key)]]
        : client.dice.chance(0.5)
          ? [
              `INSERT INTO ${TABLE} (k, v) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?`,
              [int(key), text(value + PADDING), int(ttl), bigint(timestamp)],
            ]
          : [
              `UPDATE ${TABLE} USING TTL ? AND TIMESTAMP ? SET v = ? WHERE k = ?`,
              [int(ttl), bigint(timestamp), text(value + PADDING), int(key)],
            ]
    const answer = await client.ask(statement, values, { consistency: Consistency[levels.write], via })
    const fate = fateOf(answer)
    if (fate === 'failed') history.fail(operation, client.now())
    else if (fate === 'ok')
      history.complete(operation, { kind: 'written', at: secondsOf(before, client.wall(via)) }, client.now())
  }

  return {
    tables: [`CREATE TABLE IF NOT EXISTS ${TABLE} (k int PRIMARY KEY, v text) WITH gc_grace_seconds = ${GC_GRACE}`],
    async step(client) {
      const { dice } = client
      const key = dice.int(KEYS)
      const kind = dice.int(10)
      if (kind < 5) await read(client, key, dice.int(nodes))
      else if (kind < 6) await write(client, key, null, 0)
      else await write(client, key, `${client.process}:${++last}`, dice.chance(0.3) ? 0 : 1 + dice.int(TTL_MAX))
    },
    async settle([first]) {
      for (let key = 0; key < KEYS; key++) await first!.insist(READ, [int(key)], 'ALL')
      first!.passTime((GC_GRACE + 2 * TTL_MAX) * 1_000)
      await first!.sleep(100)
      await first!.compact()
    },
    async readAll(client) {
      const via = client.only!
      for (let key = 0; key < KEYS; key++) while (!(await read(client, key, via))) await client.sleep(500)
    },
    check: () => checkExpiry(history, levels.monotonic),
  }
}

/** As it is if what follows it is not what was written. */
function unpadded(value: string): string {
  return value.endsWith(PADDING) ? value.slice(0, -PADDING.length) : value
}

/** What the clock may have shown between two looks at it. */
function secondsOf(before: WallSpan, after: WallSpan): Seconds {
  if (before.changes !== after.changes) return null
  return { from: Math.floor(before.fromMicros / 1e6), to: Math.floor(after.toMicros / 1e6) }
}
