/**
 * What replicas missed while they were away they are given when all is quiet, without anybody reading: hints do that, across deaths of those who keep them.
 * Each node is asked at ONE, which repairs nothing, and shows what it has itself of what it holds. Not promised where the coordinator died, or stood
 * still, before it could know who lacks the write and have that on its disk; nor where it was taken out for dead. One that leaves by itself hands on what it keeps.
 */
import { Consistency } from '../../../lib/types/consistency.ts'
import type { Violation } from '../oracles/history.ts'
import { fateOf, int, text } from '../world/client.ts'
import { hasFailingDisk, type Plan } from '../world/plan.ts'
import type { Workload, WorkloadContext } from './index.ts'

const PARTITIONS = 4
/** A write's time is over, the slowest disk has synced. */
const HINTED_MS = 15_000
const DRAINED_MS = 120_000

interface Add {
  readonly element: string
  readonly partition: number
  readonly via: number
  readonly call: number
  /** Null: nobody was told that it was done. */
  done: number | null
}

export function hinted(plan: Plan): Workload {
  const { levels, datacenters, leaving } = plan
  const nodes = datacenters.reduce((sum, size) => sum + size, 0)
  const adds: Add[] = []
  const violations: Violation[] = []
  let last = 0

  /** Somebody was told of it, and its coordinator was well as long as that had to be. */
  const isPromised = (client: WorkloadContext, { via, call, done }: Add): boolean =>
    done !== null &&
    !(leaving?.node === via && leaving.how !== 'decommission') &&
    !client.wasDisturbed(via, call, done + HINTED_MS)

  return {
    tables: ['CREATE TABLE IF NOT EXISTS sim.hinted (p int, c text, PRIMARY KEY (p, c))'],
    async step(client) {
      const { dice } = client
      const element = `${dice.int(10)}-${++last}`
      const add: Add = {
        element,
        partition: dice.int(PARTITIONS),
        via: dice.int(nodes),
        call: client.now(),
        done: null,
      }
      adds.push(add)
      const answer = await client.ask(
        'INSERT INTO sim.hinted (p, c) VALUES (?, ?)',
        [int(add.partition), text(element)],
        {
          consistency: Consistency[levels.write],
          via: add.via,
        },
      )
      if (fateOf(answer) === 'ok') add.done = client.now()
    },
    async settle([client]) {
      const deadline = client!.now() + DRAINED_MS
      while (client!.hintFiles() > 0 && client!.now() < deadline) await client!.sleep(1_000)
      if (client!.hintFiles() > 0) violations.push({ key: 'hints', what: `${client!.hintFiles()} files of hints stay` })
    },
    async readAll(client) {
      // What failed to be written down is told to repair alone.
      if (hasFailingDisk(plan)) return
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const rows = await client.insist(`SELECT c FROM sim.hinted WHERE p = ${partition}`, [], 'ONE')
        const found = new Set(rows.map(([c]) => c!.toString()))
        for (const add of adds)
          if (add.partition === partition && !found.has(add.element) && isPromised(client, add))
            violations.push({
              key: String(partition),
              what: `node${client.only! + 1} does not have ${add.element}, which node${add.via + 1} acknowledged at [${add.call}, ${add.done}]`,
            })
      }
    },
    check: () => violations,
  }
}
