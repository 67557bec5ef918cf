/**
 * What is derived from tables: indexes, which are asked at once, and views, which follow. An indexed read shows each row whose last acknowledged
 * version has the term, and no version that is older; once all is quiet a view shows what its base table does.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import type { Violation } from '../oracles/history.ts'
import { bigint, type Cell, fateOf, int, readBigint, readInt } from '../world/client.ts'
import type { LevelName, Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const KEYS = 10
const TERMS = 4
const SETTLE_MS = 60_000

interface Write {
  readonly key: number
  /** Null: a deletion. */
  readonly term: number | null
  readonly timestamp: number
  readonly call: number
  /** Infinity: it is not known whether it was done. */
  end: number
  hasFailed: boolean
}

interface Read {
  readonly term: number
  readonly call: number
  readonly end: number
  /** Key to timestamp. */
  readonly found: ReadonlyMap<number, number>
}

/** Writes of random terms to random keys. */
function writer(table: string, level: LevelName, writes: Write[]): (client: WorkloadContext) => Promise<void> {
  return async (client) => {
    const { dice } = client
    const key = dice.int(KEYS)
    const term = dice.chance(0.15) ? null : dice.int(TERMS)
    const timestamp = client.nextTimestamp()
    const write: Write = { key, term, timestamp, call: client.now(), end: Number.POSITIVE_INFINITY, hasFailed: false }
    writes.push(write)
    const ask = { consistency: Consistency[level] }
    const answer =
      term === null
        ? await client.ask(`DELETE FROM ${table} USING TIMESTAMP ? WHERE k = ?`, [bigint(timestamp), int(key)], ask)
        : await client.ask(
            `INSERT INTO ${table} (v, k) VALUES (?, ?) USING TIMESTAMP ?`,
            [int(term), int(key), bigint(timestamp)],
            ask,
          )
    const fate = fateOf(answer)
    if (fate === 'ok') write.end = client.now()
    write.hasFailed = fate === 'failed'
  }
}

export function indexed({ levels }: Plan): Workload {
  const writes: Write[] = []
  const reads: Read[] = []
  const change = writer('sim.indexed', levels.write, writes)

  const read = async (client: WorkloadContext): Promise<boolean> => {
    const term = client.dice.int(TERMS)
    const call = client.now()
    const answer = await client.ask('SELECT k, writetime(v) FROM sim.indexed WHERE v = ?', [int(term)], {
      consistency: Consistency[levels.read],
    })
    if (answer.kind !== 'rows') return false
    const found = new Map(answer.rows.map(([k, at]) => [readInt(k!), readBigint(at!)]))
    reads.push({ term, call, end: client.now(), found })
    return true
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.indexed (k int PRIMARY KEY, v int)'],
    others: ["CREATE INDEX IF NOT EXISTS indexed_v ON sim.indexed (v) USING 'sai'"],
    async step(client) {
      if (client.dice.chance(0.4)) await read(client)
      else await change(client)
    },
    async readAll(client) {
      for (let i = 0; i < 2 * TERMS; i++) while (!(await read(client))) await client.sleep(500)
    },
    check: () => reads.flatMap((one) => checkIndexed(one, writes)),
  }
}

function checkIndexed({ term, call, end, found }: Read, writes: readonly Write[]): Violation[] {
  const violations: Violation[] = []
  for (let key = 0; key < KEYS; key++) {
    const own = writes.filter((write) => write.key === key && !write.hasFailed && write.call <= end)
    const last = own.reduce<Write | null>(
      (best, write) => (write.end < call && (best === null || write.timestamp > best.timestamp) ? write : best),
      null,
    )
    const timestamp = found.get(key)
    const where = `a read of ${term} at [${call}, ${end}]`
    if (timestamp !== undefined) {
      if (!own.some((write) => write.timestamp === timestamp && write.term === term))
        violations.push({ key: String(key), what: `${where} shows what nobody wrote: ${timestamp}` })
      if (last !== null && timestamp < last.timestamp)
        violations.push({ key: String(key), what: `${where} shows ${timestamp} after ${JSON.stringify(last)}` })
    } else if (last?.term === term && !own.some((write) => write.timestamp > last.timestamp))
      violations.push({ key: String(key), what: `${where} does not show ${JSON.stringify(last)}` })
  }
  return violations
}

export function views({ levels }: Plan): Workload {
  const change = writer('sim.viewed', levels.write, [])
  const violations: Violation[] = []

  const rows = async (client: WorkloadContext, table: string): Promise<string> => {
    const found: readonly (readonly Cell[])[] = await client.insist(`SELECT k, v FROM ${table}`, [], 'ALL')
    return found
      .map(([k, v]) => `${readInt(k!)}=${readInt(v!)}`)
      .sort()
      .join(' ')
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.viewed (k int PRIMARY KEY, v int)'],
    others: [
      'CREATE MATERIALIZED VIEW IF NOT EXISTS sim.by_v AS SELECT k, v FROM sim.viewed WHERE v IS NOT NULL AND k IS NOT NULL PRIMARY KEY (v, k)',
    ],
    step: change,
    async settle([client]) {
      for (const deadline = client!.now() + SETTLE_MS; ; await client!.sleep(2_000)) {
        const base = await rows(client!, 'sim.viewed')
        const view = await rows(client!, 'sim.by_v')
        if (base === view) return
        if (client!.now() < deadline) continue
        violations.push({ key: 'by_v', what: `the view has ${view}, the table ${base}` })
        return
      }
    },
    async readAll() {},
    check: () => violations,
  }
}
