/**
 * `npm run bench -- --cluster N`: a cluster of ours and its peers under the same load, one after the other in one run.
 *
 *     npm run bench -- --cluster 3 --periodic 127.0.1.1:9042,127.0.1.2:9042,127.0.1.3:9042 [--seconds 8] [--keys 20000] [--sync group]
 *
 * As many replicas as nodes (three at most), QUORUM, all nodes on this machine, requests spread over all of them. --periodic and --batch name the nodes of peers
 * (any CQL servers) whose writes are durable like our `commitlog_sync: periodic` and `group`.
 */
import { join } from 'node:path'
import { Consistency } from '../../lib/types/consistency.ts'
import { temporaryDirectory } from '../support/directory.ts'
import { readOptions } from '../support/options.ts'
import { type NodeProcess, startProcess } from '../support/server.ts'
import { type Asked, compareAll, type Operation, peer, type Server } from './compare.ts'

const flags = readOptions('npm run bench -- --cluster N', 'a cluster and its peers under the same load, in one run', {
  cluster: { type: 'number', default: 3, describe: 'Nodes' },
  periodic: { type: 'string', describe: "Addresses of a peer's nodes that sync as `commitlog_sync: periodic`" },
  batch: { type: 'string', describe: "Addresses of a peer's nodes that sync before they answer" },
  seconds: { type: 'number', default: 8, describe: 'Of each row' },
  keys: { type: 'number', default: 20_000, describe: 'How many' },
  only: { type: 'string', describe: 'Which requests, like select,insert' },
  warm: { type: 'number', default: 20, describe: 'Seconds before' },
  network: { type: 'string', default: '127.0.61', describe: 'Of our nodes' },
})

const nodes = flags.cluster
const shapes = [32, 256].map((inFlight) => ({ inFlight, connections: 2 * nodes }))
const asked: Asked = {
  keys: flags.keys,
  replicas: Math.min(3, nodes),
  consistency: Consistency.QUORUM,
  seconds: flags.seconds,
  warmSeconds: flags.warm,
  shapesOf: () => shapes,
}

/** Addresses of one machine, and the same ports on each. */
async function startOurs(sync: 'periodic' | 'group'): Promise<Server> {
  const addresses = Array.from({ length: nodes }, (_, i) => `${flags.network}.${i + 1}`)
  const { path: directory } = temporaryDirectory('bench')
  const starting: Promise<NodeProcess>[] = []
  for (const address of addresses) {
    starting.push(
      startProcess(
        ['--address', address, '--port', '9042', '--admin-port', '0', '--seeds', addresses[0]!].concat([
          '--data',
          join(directory, address),
          '--commitlog-sync',
          sync,
        ]),
      ),
    )
  }
  const started = await Promise.all(starting)
  return { name: `polyxena ${sync}`, addresses, port: 9042, nodes: started, directories: [directory] }
}

const OPERATIONS: readonly Operation[] = ['select', 'insert']
const chosen = flags.only === undefined ? OPERATIONS : (flags.only.split(',') as Operation[])
const contenders: (() => Promise<Server>)[] = []
if (flags.periodic || !flags.batch) contenders.push(() => startOurs('periodic'))
if (flags.periodic) contenders.push(async () => peer('periodic', flags.periodic!))
if (flags.batch)
  contenders.push(
    () => startOurs('group'),
    async () => peer('batch', flags.batch!),
  )
await compareAll(
  contenders.map((open) => ({ open, operations: chosen })),
  asked,
  `${nodes} nodes, ${asked.replicas} replicas, QUORUM; `,
)
