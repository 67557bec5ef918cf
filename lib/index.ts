/**
 * Polyxena inside a program or a test:
 *
 *     import { startNode } from 'polyxena'
 *     const node = await startNode({ memory: true })      // a free port on 127.0.0.1
 *     // … connect any Cassandra driver to node.address, node.port …
 *     await node.close()
 */
export { ConfigError } from './config/load.ts'
export type { Settings } from './config/settings.ts'
export { type NodeOptions, StartError, type StartedNode, startNode } from './server/node.ts'
export { POLYXENA_VERSION } from './version.ts'
