/** Sets of unique elements, each a row of a partition: what was added stays, and nothing else appears. Read in pages of any size. */
import { Consistency } from '../../../lib/types/consistency.ts'
import { checkSet, type SetInput, type SetOutput } from '../oracles/collections.ts'
import { History } from '../oracles/history.ts'
import { fateOf, int, text } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'
import { readPages } from './pages.ts'

const PARTITIONS = 4
const READ = 'SELECT c FROM sim.sets WHERE p = ?'

export function sets({ levels }: Plan): Workload {
  const history = new History<SetInput, SetOutput>()
  let last = 0

  const read = async (
    client: WorkloadContext,
    partition: number,
    pageSizes: readonly (number | null)[],
  ): Promise<boolean> => {
    const operation = history.invoke(client.process, String(partition), { kind: 'read' }, client.now())
    const pageSize = client.dice.pick(pageSizes)
    const rows = await readPages(client, READ, [int(partition)], Consistency[levels.read], pageSize)
    if (rows === null) return false
    const elements = rows.map(([c]) => c!.toString())
    history.complete(operation, { kind: 'read', elements }, client.now())
    return true
  }

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.sets (p int, c text, v text, PRIMARY KEY (p, c))'],
    async step(client) {
      const partition = client.dice.int(PARTITIONS)
      if (client.dice.chance(0.3)) {
        await read(client, partition, [null, 1, 3, 10, 100])
        return
      }
      // Shuffled, so that new elements come between old ones.
      const element = `${client.dice.int(10)}-${++last}`
      const operation = history.invoke(client.process, String(partition), { kind: 'add', element }, client.now())
      const answer = await client.ask(
        'INSERT INTO sim.sets (p, c, v) VALUES (?, ?, ?)',
        [int(partition), text(element), text('x'.repeat(client.dice.int(200)))],
        { consistency: Consistency[levels.write] },
      )
      const fate = fateOf(answer)
      if (fate === 'ok') history.complete(operation, { kind: 'added' }, client.now())
      else if (fate === 'failed') history.fail(operation, client.now())
    },
    async readAll(client) {
      for (let partition = 0; partition < PARTITIONS; partition++)
        while (!(await read(client, partition, [null, 100]))) await client.sleep(500)
    },
    check: () => checkSet(history, { monotonic: levels.monotonic }),
  }
}
