/** A table that is emptied again and again: what was there before an acknowledged TRUNCATE began is gone for good, what came after it ended stays. */
import { Consistency } from '../../../lib/types/consistency.ts'
import type { Violation } from '../oracles/history.ts'
import { fateOf, int, readInt } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

interface Span {
  readonly element: number
  readonly call: number
  /** Infinity: it is not known whether it was done. */
  end: number
  hasFailed: boolean
}

interface Read {
  readonly call: number
  readonly end: number
  readonly elements: ReadonlySet<number>
}

export function truncated({ levels }: Plan): Workload {
  const adds: Span[] = []
  const truncations: Span[] = []
  const reads: Read[] = []
  let last = 0

  const ask = async (client: WorkloadContext, spans: Span[], statement: string, element: number): Promise<void> => {
    const span: Span = { element, call: client.now(), end: Number.POSITIVE_INFINITY, hasFailed: false }
    spans.push(span)
    const values = element === 0 ? [] : [int(element)]
    const answer = await client.ask(statement, values, { consistency: Consistency[levels.write] })
    const fate = fateOf(answer)
    if (fate === 'ok') span.end = client.now()
    span.hasFailed = fate === 'failed'
  }

  const read = async (client: WorkloadContext): Promise<boolean> => {
    const call = client.now()
    const answer = await client.ask('SELECT k FROM sim.truncated', [], { consistency: Consistency[levels.read] })
    if (answer.kind !== 'rows') return false
    reads.push({ call, end: client.now(), elements: new Set(answer.rows.map(([k]) => readInt(k!))) })
    return true
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.truncated (k int PRIMARY KEY)'],
    async step(client) {
      const kind = client.dice.int(20)
      if (kind === 0) await ask(client, truncations, 'TRUNCATE sim.truncated', 0)
      else if (kind < 8) await read(client)
      else await ask(client, adds, 'INSERT INTO sim.truncated (k) VALUES (?)', ++last)
    },
    async readAll(client) {
      while (!(await read(client))) await client.sleep(500)
    },
    check() {
      const violations: Violation[] = []
      for (const { call, end, elements } of reads)
        for (const { element, call: added, end: done, hasFailed } of adds) {
          const key = String(element)
          const where = `a read at [${call}, ${end}]`
          const isGone = truncations.some((one) => one.end < call && done < one.call)
          const mayBeGone = truncations.some((one) => !one.hasFailed && one.call < end && one.end > added)
          if (elements.has(element)) {
            if (isGone) violations.push({ key, what: `${where} shows what was truncated` })
            if (hasFailed) violations.push({ key, what: `${where} shows what was refused` })
          } else if (done < call && !mayBeGone && !isGone) violations.push({ key, what: `${where} does not show it` })
        }
      return violations
    },
  }
}
