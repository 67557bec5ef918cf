/** Schema changes through any node: once all is quiet, every node has the same schema, with all that was acknowledged and nothing that nobody asked for. */
import { Consistency } from '../../../lib/types/consistency.ts'
import type { Violation } from '../oracles/history.ts'
import { type Ask, fateOf, int } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const TABLES_MAX = 12
const SETTLE_MS = 60_000

/** A node that has not heard of the latest change may refuse what builds on it. */
const ASK: Ask = {
  consistency: Consistency.ONE,
  expected: ['INVALID', 'SYNTAX_ERROR', 'CONFIG_ERROR', 'ALREADY_EXISTS'],
}

type Fate = 'ok' | 'unknown'

export function ddl(_plan: Plan): Workload {
  /** Things named `table` or `table.column`, and what became of making and of dropping them. */
  const made = new Map<string, Fate>()
  const dropped = new Map<string, Fate>()
  const shown = new Map<number, string>()
  let lastTable = 0
  let lastColumn = 0

  const note = (fates: Map<string, Fate>, thing: string, fate: ReturnType<typeof fateOf>): void => {
    if (fate !== 'failed') fates.set(thing, fate)
  }

  return {
    tables: [],
    async step(client) {
      const { dice } = client
      await client.sleep(200 + dice.int(500))
      const tables = [...made.keys()].filter((thing) => !thing.includes('.') && !dropped.has(thing))
      const table = tables.length > 0 ? dice.pick(tables) : null
      const kind = dice.int(10)
      if (table === null || (kind < 2 && tables.length < TABLES_MAX)) {
        const name = `d${++lastTable}`
        made.set(name, 'unknown')
        const answer = await client.ask(`CREATE TABLE sim.${name} (k int PRIMARY KEY, v int)`, [], ASK)
        if (fateOf(answer) === 'failed') made.delete(name)
        else note(made, name, fateOf(answer))
      } else if (kind < 5) {
        const column = `c${++lastColumn}`
        const thing = `${table}.${column}`
        made.set(thing, 'unknown')
        const answer = await client.ask(`ALTER TABLE sim.${table} ADD ${column} int`, [], ASK)
        if (fateOf(answer) === 'failed') made.delete(thing)
        else note(made, thing, fateOf(answer))
      } else if (kind < 6) {
        dropped.set(table, 'unknown')
        const answer = await client.ask(`DROP TABLE sim.${table}`, [], ASK)
        if (fateOf(answer) === 'failed') dropped.delete(table)
        else note(dropped, table, fateOf(answer))
      } else {
        await client.ask(`INSERT INTO sim.${table} (k, v) VALUES (?, ?)`, [int(dice.int(10)), int(1)], ASK)
      }
    },
    async settle(readers) {
      // Who was away has a while to catch up.
      for (const deadline = readers[0]!.now() + SETTLE_MS; readers[0]!.now() < deadline; ) {
        const schemas = new Set<string>()
        for (const reader of readers) schemas.add(await readSchema(reader))
        if (schemas.size === 1) return
        await readers[0]!.sleep(1_000)
      }
    },
    async readAll(client) {
      shown.set(client.process, await readSchema(client))
    },
    check() {
      const violations: Violation[] = []
      const [first, ...others] = [...shown.values()]
      for (const other of others)
        if (other !== first) violations.push({ key: 'schema', what: `nodes differ:\n${first}\n---\n${other}` })
      const things = new Set(
        first!.split('\n').flatMap((line) => [line.split(/[ .]/)[0]!, line.split('.').slice(0, 2).join('.')]),
      )
      for (const [thing, fate] of made) {
        const table = thing.split('.')[0]!
        if (fate === 'ok' && !dropped.has(table) && !things.has(thing))
          violations.push({ key: thing, what: 'was made, and is not there' })
      }
      for (const [thing, fate] of dropped)
        if (fate === 'ok' && things.has(thing)) violations.push({ key: thing, what: 'was dropped, and is there' })
      for (const thing of things)
        if (/^d\d+$/.test(thing) && !made.has(thing))
          violations.push({ key: thing, what: 'is there, and nobody made it' })
      return violations
    },
  }
}

/** Tables with their ids, and columns. */
async function readSchema(client: WorkloadContext): Promise<string> {
  const columns = await client.insist(
    "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = 'sim'",
    [],
    'ONE',
  )
  const tables = await client.insist(
    "SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = 'sim'",
    [],
    'ONE',
  )
  const lines = [
    ...columns.map((row) => row.map(String).join('.')),
    ...tables.map(([name, id]) => `${name!.toString()} ${id!.toString('hex')}`),
  ]
  return lines.sort().join('\n')
}
