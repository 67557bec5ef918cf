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
  const violations: Violation[] = []
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

  /** Each replica's own index knows of what all of them have, by whatever way it came there. What is wrong; null: nothing is. */
  const compared = async (client: WorkloadContext): Promise<Violation | null> => {
    const keysBy = (rows: readonly (readonly Cell[])[]): string =>
      rows
        .map(([k]) => readInt(k!))
        .sort((a, b) => a - b)
        .join(' ')
    const all = await client.insist('SELECT k, v FROM sim.indexed', [], 'ALL')
    for (let term = 0; term < TERMS; term++) {
      const there = keysBy(all.filter(([, v]) => v && readInt(v) === term))
      const found = keysBy(await client.insist(`SELECT k FROM sim.indexed WHERE v = ${term}`, [], 'ONE'))
      if (there !== found)
        return {
          key: String(term),
          what: `node${client.only! + 1} finds the keys ${found} by it, the table has ${there}`,
        }
    }
    return null
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.indexed (k int PRIMARY KEY, v int)'],
    others: ["CREATE INDEX IF NOT EXISTS indexed_v ON sim.indexed (v) USING 'sai'"],
    async step(client) {
      if (client.dice.chance(0.4)) await read(client)
      else await change(client)
    },
    async settle(readers) {
      for (const reader of readers) {
        // What is still under way, as a hint, may come between two reads.
        for (const deadline = reader.now() + SETTLE_MS; ; await reader.sleep(2_000)) {
          const wrong = await compared(reader)
          if (wrong === null) break
          if (reader.now() < deadline) continue
          violations.push(wrong)
          return
        }
      }
    },
    async readAll(client) {
      for (let i = 0; i < 2 * TERMS; i++) while (!(await read(client))) await client.sleep(500)
    },
    check: () => [...reads.flatMap((one) => checkIndexed(one, writes)), ...violations],
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

/** A table and its views; in a third of the runs it is truncated, too. */
export function views({ levels, seed }: Plan): Workload {
  const violations: Violation[] = []
  const isTruncated = seed % 3 === 0
  let truncationIsOpen = false
  let lastTimestamp = 0

  /** Now and then two writes have one timestamp. */
  const timestampOf = (client: WorkloadContext): number => {
    if (lastTimestamp === 0 || !client.dice.chance(0.15)) lastTimestamp = client.nextTimestamp()
    return lastTimestamp
  }

  const truncate = async (client: WorkloadContext): Promise<boolean> => {
    const answer = await client.ask('TRUNCATE sim.viewed', [], { consistency: Consistency.ALL })
    return fateOf(answer) === 'ok'
  }

  const change = async (client: WorkloadContext): Promise<void> => {
    const { dice } = client
    const ask = { consistency: Consistency[levels.write] }
    const key = int(dice.int(KEYS))
    const at = bigint(timestampOf(client))
    const kind = dice.int(10)
    if (kind === 0) await client.ask('DELETE FROM sim.viewed USING TIMESTAMP ? WHERE k = ?', [at, key], ask)
    else if (kind === 1) await client.ask('DELETE v FROM sim.viewed USING TIMESTAMP ? WHERE k = ?', [at, key], ask)
    else if (kind < 4) {
      const values = [at, int(dice.int(100)), key]
      await client.ask('UPDATE sim.viewed USING TIMESTAMP ? SET c = ? WHERE k = ?', values, ask)
    } else if (kind < 6) {
      const values = [at, int(dice.int(TERMS)), key]
      await client.ask('UPDATE sim.viewed USING TIMESTAMP ? SET v = ? WHERE k = ?', values, ask)
    } else {
      const values = [int(dice.int(TERMS)), int(dice.int(100)), key, at]
      await client.ask('INSERT INTO sim.viewed (v, c, k) VALUES (?, ?, ?) USING TIMESTAMP ?', values, ask)
    }
  }

  const read = async (client: WorkloadContext, statement: string): Promise<(number | null)[][]> => {
    const found: readonly (readonly Cell[])[] = await client.insist(statement, [], 'ALL')
    return found.map((row) => row.map((cell) => (cell === null ? null : readInt(cell))))
  }
  const text = (rows: (number | null)[][]): string =>
    rows
      .map((row) => row.join('/'))
      .sort()
      .join(' ')

  /** What is wrong; null: nothing is. */
  const compared = async (client: WorkloadContext): Promise<Violation | null> => {
    const base = await read(client, 'SELECT k, v, c FROM sim.viewed')
    const shown = text(base.filter(([, v]) => v !== null))
    const byV = text(await read(client, 'SELECT k, v, c FROM sim.by_v'))
    if (shown !== byV) return { key: 'by_v', what: `the view has ${byV}, the table ${shown}` }
    const keys = text(base.map(([k]) => [k!]))
    const kept = text(await read(client, 'SELECT k FROM sim.kept'))
    return keys === kept ? null : { key: 'kept', what: `the view has ${kept}, the table ${keys}` }
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.viewed (k int PRIMARY KEY, v int, c int)'],
    others: [
      'CREATE MATERIALIZED VIEW IF NOT EXISTS sim.by_v AS SELECT k, v, c FROM sim.viewed WHERE v IS NOT NULL AND k IS NOT NULL PRIMARY KEY (v, k)',
      'CREATE MATERIALIZED VIEW IF NOT EXISTS sim.kept AS SELECT k FROM sim.viewed WHERE k IS NOT NULL PRIMARY KEY (k)',
    ],
    async step(client) {
      if (!isTruncated || !client.dice.chance(0.05)) await change(client)
      // One that is not known to have ended may have emptied some of the nodes.
      else if (!(await truncate(client))) truncationIsOpen = true
    },
    async settle([client]) {
      if (truncationIsOpen) {
        while (!(await truncate(client!))) await client!.sleep(500)
        for (let i = 0; i < KEYS; i++) await change(client!)
      }
      for (const deadline = client!.now() + SETTLE_MS; ; await client!.sleep(2_000)) {
        const wrong = await compared(client!)
        if (wrong === null) return
        if (client!.now() < deadline) continue
        violations.push(wrong)
        return
      }
    },
    async readAll() {},
    check: () => violations,
  }
}
