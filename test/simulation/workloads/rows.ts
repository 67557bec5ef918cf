/**
 * Rows that are written, overwritten and deleted, alone, by range and by partition, with timestamps in the order in which they were asked for. Each row is a
 * register: reads by row, by slice and by partition, in either order and in pages, show the newest version that was acknowledged, or a newer one.
 * And the same through logged batches over two tables, which must end the same.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import { describe, History, type Violation } from '../oracles/history.ts'
import {
  checkLastWriteWins,
  type TimestampedInput,
  type TimestampedOperation,
  type TimestampedOutput,
} from '../oracles/registers.ts'
import { type Answer, bigint, type Cell, fateOf, int, readBigint, readInt, text } from '../world/client.ts'
import type { LevelName, Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'
import { readPages } from './pages.ts'

const PARTITIONS = 4
const ROWS = 8
const SETTLE_MS = 15_000
/** Reads, one right after the other, each through another node, of what may have been written. */
const LOOKS_IN_DOUBT = 6

type RowHistory = History<TimestampedInput, TimestampedOutput>

function settle(
  history: RowHistory,
  operations: readonly TimestampedOperation[],
  answer: Answer,
  now: number,
): ReturnType<typeof fateOf> {
  const fate = fateOf(answer)
  for (const operation of operations) {
    if (fate === 'ok') history.complete(operation, { kind: 'written' }, now)
    else if (fate === 'failed') history.fail(operation, now)
  }
  return fate
}

export function rows({ levels, datacenters }: Plan): Workload {
  const history: RowHistory = new History()
  const nodes = datacenters.reduce((sum, size) => sum + size, 0)
  let last = 0
  const write = Consistency[levels.write]
  const read = Consistency[levels.read]

  const change = async (
    client: WorkloadContext,
    partition: number,
    changed: readonly number[],
    value: string | null,
    statement: string,
    values: readonly Cell[],
    timestamp: number,
  ): Promise<void> => {
    const operations = changed.map((row) =>
      history.invoke(client.process, `${partition}/${row}`, { kind: 'write', value, timestamp }, client.now()),
    )
    const fate = settle(history, operations, await client.ask(statement, values, { consistency: write }), client.now())
    // Some replicas may have it: who reads it first must bring it to the others.
    if (fate === 'unknown')
      for (let i = 0; i < LOOKS_IN_DOUBT; i++)
        await look(client, all(partition), ' WHERE p = ?', [int(partition)], null, client.dice.int(nodes))
  }

  const look = async (
    client: WorkloadContext,
    looked: readonly (readonly [number, number])[],
    where: string,
    values: readonly Cell[],
    pageSize: number | null,
    via?: number,
  ): Promise<boolean> => {
    const operations = looked.map(([p, c]) => ({
      place: `${p}/${c}`,
      operation: history.invoke(client.process, `${p}/${c}`, { kind: 'read' }, client.now()),
    }))
    const found = await readPages(
      client,
      `SELECT p, c, v, writetime(v) FROM sim.rows${where}`,
      values,
      read,
      pageSize,
      via,
    )
    if (found === null) return false
    const shown = new Map<string, { value: string; timestamp: number }>()
    for (const [p, c, v, at] of found)
      shown.set(`${readInt(p!)}/${readInt(c!)}`, { value: v!.toString(), timestamp: readBigint(at!) })
    for (const { place, operation } of operations)
      history.complete(operation, { kind: 'read', found: shown.get(place) ?? null }, client.now())
    return true
  }

  const all = (partition: number): [number, number][] => Array.from({ length: ROWS }, (_, row) => [partition, row])
  const everything = Array.from({ length: PARTITIONS }, (_, partition) => all(partition)).flat()

  return {
    tables: [
      "CREATE TABLE IF NOT EXISTS sim.rows (p int, c int, v text, PRIMARY KEY (p, c)) WITH speculative_retry = '99p'",
    ],
    async step(client) {
      const { dice } = client
      const p = dice.int(PARTITIONS)
      const c = dice.int(ROWS)
      const kind = dice.int(20)
      if (kind < 8) {
        const timestamp = client.nextTimestamp()
        const value = `${client.process}:${++last}`
        const statement = dice.chance(0.5) ? 'INSERT INTO sim.rows (v, p, c) VALUES (?, ?, ?) USING TIMESTAMP ?' : null
        if (statement)
          await change(client, p, [c], value, statement, [text(value), int(p), int(c), bigint(timestamp)], timestamp)
        else
          await change(
            client,
            p,
            [c],
            value,
            'UPDATE sim.rows USING TIMESTAMP ? SET v = ? WHERE p = ? AND c = ?',
            [bigint(timestamp), text(value), int(p), int(c)],
            timestamp,
          )
        return
      }
      if (kind < 10) {
        const timestamp = client.nextTimestamp()
        const statement = 'DELETE FROM sim.rows USING TIMESTAMP ? WHERE p = ? AND c = ?'
        await change(client, p, [c], null, statement, [bigint(timestamp), int(p), int(c)], timestamp)
        return
      }
      if (kind < 11) {
        const timestamp = client.nextTimestamp()
        const end = c + dice.int(4)
        const gone = all(p)
          .map(([, row]) => row)
          .filter((row) => row >= c && row < end)
        const statement = 'DELETE FROM sim.rows USING TIMESTAMP ? WHERE p = ? AND c >= ? AND c < ?'
        await change(client, p, gone, null, statement, [bigint(timestamp), int(p), int(c), int(end)], timestamp)
        return
      }
      if (kind < 12) {
        const timestamp = client.nextTimestamp()
        const gone = all(p).map(([, row]) => row)
        const statement = 'DELETE FROM sim.rows USING TIMESTAMP ? WHERE p = ?'
        await change(client, p, gone, null, statement, [bigint(timestamp), int(p)], timestamp)
        return
      }
      const pageSize = dice.pick([null, 1, 2, 5])
      if (kind < 16) await look(client, [[p, c]], ' WHERE p = ? AND c = ?', [int(p), int(c)], null)
      else if (kind < 17) {
        const slice = all(p).filter(([, row]) => row >= c)
        const order = dice.chance(0.5) ? ' ORDER BY c DESC' : ''
        await look(client, slice, ` WHERE p = ? AND c >= ?${order}`, [int(p), int(c)], pageSize)
      } else if (kind < 19) await look(client, all(p), ' WHERE p = ?', [int(p)], pageSize)
      else await look(client, everything, '', [], pageSize)
    },
    async readAll(client) {
      for (let p = 0; p < PARTITIONS; p++)
        while (!(await look(client, all(p), ' WHERE p = ?', [int(p)], null))) await client.sleep(500)
      while (!(await look(client, everything, '', [], 7))) await client.sleep(500)
    },
    check: () => checkLastWriteWins(history, { monotonic: levels.monotonic }),
  }
}

const TABLES = ['sim.left', 'sim.right'] as const

/** Not the same in both tables: what is of one token is one record on each of its replicas, and nobody keeps it as a batch. */
function partitionOf(table: (typeof TABLES)[number], key: number): Cell {
  return int(table === 'sim.left' ? key : key + ROWS)
}

export function batches({ levels, leaving }: Plan): Workload {
  const histories: Record<(typeof TABLES)[number], RowHistory> = {
    'sim.left': new History(),
    'sim.right': new History(),
  }
  const ends: Violation[] = []
  let last = 0

  const look = async (
    client: WorkloadContext,
    table: (typeof TABLES)[number],
    key: number,
    level: LevelName = levels.read,
  ): Promise<string | false> => {
    const history = histories[table]
    const operation = history.invoke(client.process, String(key), { kind: 'read' }, client.now())
    const answer = await client.ask(`SELECT v, writetime(v) FROM ${table} WHERE k = ?`, [partitionOf(table, key)], {
      consistency: Consistency[level],
    })
    if (answer.kind !== 'rows') return false
    const [v, at] = answer.rows[0] ?? []
    const found = v ? { value: v.toString(), timestamp: readBigint(at!) } : null
    history.complete(operation, { kind: 'read', found }, client.now())
    return found?.value ?? ''
  }

  /** The last batches that may count. */
  const newest = (key: number): string[] =>
    [...histories['sim.left'].keys()]
      .filter(([name]) => name === String(key))
      .flatMap(([, operations]) =>
        operations.filter(({ input, outcome }) => input.kind === 'write' && outcome !== 'failed'),
      )
      .slice(-4)
      .map(describe)

  /** Of a batch that nobody was told of, half may be for good: what a machine kept for others is gone with it. */
  const mayBeHalf = (key: number): boolean =>
    (leaving?.how === 'remove' || leaving?.how === 'wipe') &&
    [...histories['sim.left'].keys()].some(
      ([name, operations]) =>
        name === String(key) &&
        operations.some(({ input, outcome }) => input.kind === 'write' && outcome === 'unknown'),
    )

  return {
    tables: TABLES.map((table) => `CREATE TABLE IF NOT EXISTS ${table} (k int PRIMARY KEY, v text)`),
    async step(client) {
      const key = client.dice.int(ROWS)
      if (client.dice.chance(0.4)) {
        await look(client, client.dice.pick(TABLES), key)
        return
      }
      const timestamp = client.nextTimestamp()
      const value = client.dice.chance(0.2) ? null : `${client.process}:${++last}`
      const operations = TABLES.map((table) => ({
        history: histories[table],
        operation: histories[table].invoke(
          client.process,
          String(key),
          { kind: 'write', value, timestamp },
          client.now(),
        ),
      }))
      const items = TABLES.map((table) =>
        value === null
          ? {
              query: `DELETE FROM ${table} USING TIMESTAMP ? WHERE k = ?`,
              values: [bigint(timestamp), partitionOf(table, key)],
            }
          : {
              query: `INSERT INTO ${table} (v, k) VALUES (?, ?) USING TIMESTAMP ?`,
              values: [text(value), partitionOf(table, key), bigint(timestamp)],
            },
      )
      const answer = await client.batch(items, { consistency: Consistency[levels.write] })
      for (const { history, operation } of operations) settle(history, [operation], answer, client.now())
    },
    async settle([first]) {
      // Whoever keeps a batch whose coordinator has gone writes it after a while.
      await first!.sleep(SETTLE_MS)
    },
    async readAll(client) {
      for (let key = 0; key < ROWS; key++) {
        const values: string[] = []
        for (const table of TABLES) {
          // Of all replicas: what none of them has was not written.
          let value = await look(client, table, key, 'ALL')
          while (value === false) {
            await client.sleep(500)
            value = await look(client, table, key, 'ALL')
          }
          values.push(value)
        }
        if (values[0] !== values[1] && !mayBeHalf(key))
          ends.push({
            key: String(key),
            what: `half of a batch: ${TABLES[0]} has "${values[0]}", ${TABLES[1]} "${values[1]}"\n  ${newest(key).join('\n  ')}`,
          })
      }
    },
    check: () => [
      ...TABLES.flatMap((table) => checkLastWriteWins(histories[table], { monotonic: levels.monotonic })),
      ...ends,
    ],
  }
}
