/**
 * Polyxena inside a program or a test:
 *
 *     import { startNode } from 'polyxena'
 *     const node = await startNode({ memory: true })      // a free port on 127.0.0.1
 *     // … connect any Cassandra driver to node.address, node.port …
 *     await node.close()
 *
 *     import { startCluster } from 'polyxena'
 *     const cluster = await startCluster({ dcs: { dc1: 3, dc2: 3 }, memory: true })
 *     // … connect any driver to cluster.contactPoints, port 9042 …
 *     await cluster.node(2).kill()
 *     await cluster.close()
 */
export { ConfigError } from './config/load.ts'
export type { Settings } from './config/settings.ts'
export {
  type ClusterClock,
  type ClusterNode,
  type ClusterOptions,
  type StartedCluster,
  startCluster,
} from './server/embedded/cluster.ts'
export { type NodeOptions, StartError, type StartedNode, startNode } from './server/node.ts'
export { POLYXENA_VERSION } from './version.ts'
