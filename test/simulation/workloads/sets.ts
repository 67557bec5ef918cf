/** Sets of unique elements, each a row of a partition: what was added stays, and nothing else appears. Read in pages of any size. */
import { Consistency } from '../../../lib/types/consistency.ts'
import { checkSet, type SetInput, type SetOutput } from '../oracles/collections.ts'
import { History } from '../oracles/history.ts'
import { fateOf, int, text } from '../world/client.ts'
import type { Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'
import { readPages } from './pages.ts'

const PARTITIONS = 4
const READ = 'SELECT c, v FROM sim.sets WHERE p = ?'

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
    const elements = rows.map(([c, v]) => elementOf(c!.toString(), v!.toString()))
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
        [int(partition), text(element), text(companionOf(element, client.dice.int(200)))],
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

/** What is written beside an element: it follows from it, and no two parts of it are alike, so that files keep each letter. */
function companionOf(element: string, length: number): string {
  const seed = Number(element.split('-')[1])
  return Array.from({ length }, (_, i) => String.fromCharCode(33 + ((seed * 31 + i * (seed + 7) + i * i) % 90))).join(
    '',
  )
}

/** An element whose companion is not its own is another one. */
function elementOf(element: string, companion: string): string {
  return companion === companionOf(element, companion.length) ? element : `${element} with "${companion}"`
}
