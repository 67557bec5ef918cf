/** Taking nodes out of the ring, for the administration interface. Source: removenode, decommission and assassinate of Cassandra's nodetool. */
import { parseEndpoint } from '../../../cluster/internode/endpoint.ts'
import { TopologyError } from '../../../cluster/ring/topology.ts'
import { RemovalError, type RemovalStatus } from '../cluster/removals.ts'
import type { AdminNode } from './admin-node.ts'
import { AdminError, type Parameters } from './parameters.ts'

export interface RemovalReport {
  readonly removal: {
    readonly hostId: string
    readonly address: string
    readonly port: number
    /** It leaves by itself. */
    readonly isAlive: boolean
    /** The first. */
    readonly token: string
    readonly waiting: readonly {
      readonly address: string
      readonly port: number
      /** Null: it is at it. */
      readonly trouble: string | null
    }[]
  } | null
}

export async function removalStatus({ ring }: AdminNode): Promise<RemovalReport> {
  return report((await ring?.removals.status()) ?? null)
}

/** `force` with what was known of it before. */
export async function removeNode({ ring }: AdminNode, parameters: Parameters): Promise<RemovalReport> {
  const removals = inCluster(ring).removals
  if (parameters.flag('force')) return report(await told(removals.force()))
  await told(removals.removeNode(parameters.required('hostId').toLowerCase()))
  return report(null)
}

export async function decommission({ ring, mode }: AdminNode, parameters: Parameters): Promise<void> {
  if (mode() === 'DECOMMISSIONED')
    throw new AdminError('usage', 'Unsupported operation: This node was already decommissioned.')
  await told(inCluster(ring).decommission(parameters.flag('force')))
}

export async function assassinate({ ring }: AdminNode, parameters: Parameters): Promise<void> {
  await told(inCluster(ring).removals.assassinate(parameters.required('address')))
}

function inCluster(ring: AdminNode['ring']): NonNullable<AdminNode['ring']> {
  if (ring === null) throw new AdminError('failure', 'This node is alone: it has no ring to take nodes out of')
  return ring
}

async function told<T>(done: Promise<T>): Promise<T> {
  try {
    return await done
  } catch (error) {
    if (!(error instanceof RemovalError || error instanceof TopologyError)) throw error
    throw new AdminError(error.message.startsWith('Unsupported operation') ? 'usage' : 'failure', error.message)
  }
}

function report(status: RemovalStatus | null): RemovalReport {
  if (status === null) return { removal: null }
  const { node, isAlive, waiting } = status
  return {
    removal: {
      hostId: node.hostId,
      ...parseEndpoint(node.endpoint),
      isAlive,
      token: node.tokens[0]!,
      waiting: waiting.map(({ node: other, trouble }) => ({ ...parseEndpoint(other.endpoint), trouble })),
    },
  }
}
