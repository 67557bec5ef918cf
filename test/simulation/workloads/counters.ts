/** Counters that only grow: a read lies between what was acknowledged and what was attempted. Nobody tries again by himself. */
import { Consistency } from '../../../lib/types/consistency.ts'
import { type CounterInput, type CounterOutput, checkCounter } from '../oracles/collections.ts'
import { History } from '../oracles/history.ts'
import { bigint, fateOf, int, readBigint } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const KEYS = 3

export function counters({ levels }: Plan): Workload {
  const history = new History<CounterInput, CounterOutput>()

  const read = async (client: WorkloadContext, key: number): Promise<boolean> => {
    const operation = history.invoke(client.process, String(key), { kind: 'read' }, client.now())
    const answer = await client.ask('SELECT n FROM sim.counters WHERE k = ?', [int(key)], {
      consistency: Consistency[levels.read],
    })
    if (answer.kind !== 'rows') return false
    const cell = answer.rows[0]?.[0] ?? null
    history.complete(operation, { kind: 'read', value: cell === null ? 0 : readBigint(cell) }, client.now())
    return true
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.counters (k int PRIMARY KEY, n counter)'],
    async step(client) {
      const key = client.dice.int(KEYS)
      if (client.dice.chance(0.3)) {
        await read(client, key)
        return
      }
      const amount = 1 + client.dice.int(9)
      const operation = history.invoke(client.process, String(key), { kind: 'add', amount }, client.now())
      const answer = await client.ask('UPDATE sim.counters SET n = n + ? WHERE k = ?', [bigint(amount), int(key)], {
        consistency: Consistency[levels.write],
      })
      const fate = fateOf(answer)
      if (fate === 'ok') history.complete(operation, { kind: 'added' }, client.now())
      else if (fate === 'failed') history.fail(operation, client.now())
    },
    async readAll(client) {
      for (let key = 0; key < KEYS; key++) while (!(await read(client, key))) await client.sleep(500)
    },
    check: () => checkCounter(history),
  }
}
