/** Which part of a coordinator serves which request. */
import t from 'tap'
import { ClusterCoordinator } from '../../../cluster/coordinator/coordinator.ts'
import { RequestLatencies } from '../../../cluster/coordinator/latencies.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import type { ReadCommand } from '../../../storage/model/command.ts'

t.test('serial reads of one partition are transactions, of many they ask a quorum', async (t) => {
  const served: string[] = []
  const nothing = { partitions: [], more: false, tombstones: 0 }
  const part = { register() {} }
  const coordinator = new ClusterCoordinator({
    latencies: new RequestLatencies(),
    writes: { ...part, write: () => undefined },
    reads: {
      ...part,
      read: (_command, level) => {
        served.push(`read ${level}`)
        return nothing
      },
    },
    transactions: {
      ...part,
      cas: async () => true,
      readSerially: async (_command, level) => {
        served.push(`serial ${level}`)
        return nothing
      },
    },
    truncations: { ...part, truncate: async () => {} },
  })
  const one = { target: { kind: 'partition', position: Buffer.alloc(10) } } as unknown as ReadCommand
  const many = { target: { kind: 'range', start: null, end: null } } as unknown as ReadCommand
  const { SERIAL, LOCAL_SERIAL, QUORUM, LOCAL_QUORUM, ONE } = Consistency
  for (const level of [SERIAL, LOCAL_SERIAL, ONE])
    for (const command of [one, many]) await coordinator.read(command, level, 'k')
  t.same(served, [
    `serial ${SERIAL}`,
    `read ${QUORUM}`,
    `serial ${LOCAL_SERIAL}`,
    `read ${LOCAL_QUORUM}`,
    `read ${ONE}`,
    `read ${ONE}`,
  ])
})
