/** The write sides of a replica world's nodes, over stores in memory where a test reads what was written; and what their clients are told. */
import { RequestLatencies } from '../../cluster/coordinator/latencies.ts'
import { WriteSide } from '../../cluster/coordinator/write-side.ts'
import type { RequestError } from '../../lib/base/errors.ts'
import { openStore } from '../../storage/store.ts'
import type { StoredTable } from '../../storage/table-store.ts'
import { type ReplicaWorld, TABLE, type WorldNode } from './replica-world.ts'
import { memoryRuntime } from './storage-runtime.ts'

/** Where no test keeps a batch. */
const NO_BATCHES = {
  id: '',
  idBytes: Buffer.alloc(16),
  apply: () => undefined,
  read: () => ({ partitions: [], more: false, tombstones: 0 }),
  nowSeconds: () => 0,
}

export function serveWrites(world: ReplicaWorld): Map<WorldNode, WriteSide> {
  const sides = new Map<WorldNode, WriteSide>()
  for (const node of world.nodes.values()) {
    const { environment } = node
    const side = new WriteSide({ environment, latencies: new RequestLatencies(), batches: NO_BATCHES, truncations: [] })
    node.serve(side)
    sides.set(node, side)
  }
  return sides
}

/** What is applied is stored, too. */
export async function storeWrites(world: ReplicaWorld, table: StoredTable): Promise<Map<WorldNode, WriteSide>> {
  for (const node of world.nodes.values()) {
    node.store = await openStore({ runtime: memoryRuntime(world.clock), directory: null })
    await node.store.registerTable(TABLE, table)
  }
  return serveWrites(world)
}

/** Null: it was acknowledged. Moves time on until there is an answer. */
export async function outcome(
  world: ReplicaWorld,
  act: () => Promise<void> | undefined,
  ms = 20_000,
): Promise<RequestError | null> {
  let result: RequestError | null | undefined
  ;(async () => act())().then(
    () => {
      result = null
    },
    (error: RequestError) => {
      result = error
    },
  )
  for (let waited = 0; result === undefined && waited < ms; waited += 10) await world.clock.advance(10)
  return result!
}

/** Hints come at last. */
export function applyHints(world: ReplicaWorld): void {
  for (const node of world.nodes.values())
    for (const { hostId, mutation } of node.hints) world.nodes.get(hostId)!.store!.apply([Buffer.from(mutation, 'hex')])
}

/** What the nodes reported that is no failure of a replica: bugs. */
export function bugsIn(world: ReplicaWorld): string[] {
  return [...world.nodes.values()].flatMap(({ reports }) =>
    reports.filter(({ name }) => name !== 'ReplicaFailure').map(({ stack }) => String(stack)),
  )
}
