/** How a node that belongs to a cluster comes to be in its ring, and stays there under its present address. */
import type { RingNode } from '../../../cluster/ring/topology.ts'
import type { Log, Random } from '../../runtime/runtime.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { tokensFor } from './self.ts'

export interface JoinOptions {
  readonly self: RingNode
  readonly metadata: MetadataLog
  readonly random: Random
  readonly log: Log
  readonly numTokens: number
}

const SOURCE = 'join.ts'

/** Resolves when this node is in the ring, as a replica of what it owns. */
export async function joinRing({ self, metadata, random, log, numTokens }: JoinOptions): Promise<void> {
  const { hostId } = self
  const known = metadata.state.topology.nodes.get(hostId)
  if (known === undefined)
    await metadata.changeTopology(({ topology }) => {
      if (topology.nodes.has(hostId)) return null
      const tokens = tokensFor(topology, self, numTokens, random)
      return { kind: 'join-start', node: { ...self, tokens, status: 'joining' } }
    })
  else if (!isSamePlace(known, self))
    await metadata.changeTopology(({ topology }) => {
      const there = topology.nodes.get(hostId)
      if (there === undefined || isSamePlace(there, self)) return null
      const { endpoint, clientAddress, clientPort } = self
      return { kind: 'address', hostId, endpoint, clientAddress, clientPort }
    })
  if (metadata.state.topology.nodes.get(hostId)?.status === 'joining') {
    log.info(SOURCE, 'JOINING: taking part in the ring')
    await metadata.changeTopology(({ topology }) =>
      topology.nodes.get(hostId)?.status === 'joining' ? { kind: 'join-finish', hostId } : null,
    )
  }
  log.info(SOURCE, `Node ${self.endpoint} state jump to NORMAL`)
}

function isSamePlace(a: RingNode, b: RingNode): boolean {
  return a.endpoint === b.endpoint && a.clientAddress === b.clientAddress && a.clientPort === b.clientPort
}
