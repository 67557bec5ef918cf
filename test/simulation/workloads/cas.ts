/** Registers by lightweight transactions: every conditional write and every SERIAL read of a key fits into one order of instants. */
import { Consistency } from '../../../lib/types/consistency.ts'
import { History } from '../oracles/history.ts'
import { checkRegister, type RegisterInput, type RegisterOutput } from '../oracles/registers.ts'
import { type Answer, type Cell, fateOf, int, text } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const KEYS = 4

export function cas(_plan: Plan): Workload {
  const history = new History<RegisterInput, RegisterOutput>()
  /** What somebody last saw: a good guess for the next condition. */
  const seen = new Map<number, string | null>()
  let last = 0

  const read = async (client: WorkloadContext, key: number): Promise<boolean> => {
    const operation = history.invoke(client.process, String(key), { kind: 'read' }, client.now())
    const answer = await client.ask('SELECT v FROM sim.cas WHERE k = ?', [int(key)], {
      consistency: Consistency.SERIAL,
    })
    if (answer.kind !== 'rows') return false
    const value = answer.rows[0]?.[0]?.toString() ?? null
    seen.set(key, value)
    history.complete(operation, { kind: 'read', value }, client.now())
    return true
  }

  const change = async (
    client: WorkloadContext,
    key: number,
    expected: string | null,
    value: string | null,
    statement: string,
    values: readonly Cell[],
  ): Promise<void> => {
    const operation = history.invoke(client.process, String(key), { kind: 'cas', expected, value }, client.now())
    const answer = await client.ask(statement, values, {
      consistency: Consistency.QUORUM,
      serialConsistency: Consistency.SERIAL,
    })
    const fate = fateOf(answer)
    if (fate === 'failed') history.fail(operation, client.now())
    if (fate !== 'ok') return
    const { applied, found } = outcomeOf(answer)
    seen.set(key, applied ? value : found)
    history.complete(operation, { kind: 'cas', applied, found }, client.now())
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.cas (k int PRIMARY KEY, v text)'],
    async step(client) {
      const { dice } = client
      const key = dice.int(KEYS)
      if (dice.chance(0.3)) {
        await read(client, key)
        return
      }
      const value = `${client.process}:${++last}`
      const expected = seen.get(key) ?? null
      if (expected === null)
        await change(client, key, null, value, 'INSERT INTO sim.cas (k, v) VALUES (?, ?) IF NOT EXISTS', [
          int(key),
          text(value),
        ])
      else if (dice.chance(0.05))
        await change(client, key, expected, null, 'DELETE FROM sim.cas WHERE k = ? IF v = ?', [
          int(key),
          text(expected),
        ])
      else
        await change(client, key, expected, value, 'UPDATE sim.cas SET v = ? WHERE k = ? IF v = ?', [
          text(value),
          int(key),
          text(expected),
        ])
    },
    async readAll(client) {
      for (let key = 0; key < KEYS; key++) while (!(await read(client, key))) await client.sleep(500)
    },
    check: () => checkRegister(history),
  }
}

function outcomeOf(answer: Answer): { applied: boolean; found: string | null } {
  if (answer.kind !== 'rows') throw new Error(`a conditional statement was answered ${answer.kind}`)
  const row = answer.rows[0]!
  const applied = row[answer.columns.indexOf('[applied]')]![0] === 1
  const v = answer.columns.indexOf('v')
  return { applied, found: v < 0 ? null : (row[v]?.toString() ?? null) }
}
