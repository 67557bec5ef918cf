/**
 * `npm run bench`: this node and its peers under the same load, one after the other in one run, as a table with the ratios.
 *
 *     npm run bench -- --periodic 127.0.1.1:9042 --batch 127.0.2.1:9042 [--seconds 5] [--keys 100000] [--only select,insert]
 *
 * Requests: select and insert of one row, in five shapes of load; and with 32 in flight slices of 100 rows, collections written and read, batches of
 * 20 rows, counters, and conditional inserts; and of our node alone rows of vector-clock tables: got, put with their context, got with 20 siblings.
 * --periodic and --batch name peers (any CQL servers) whose writes are durable like our `commitlog_sync: periodic` and `group`. Without
 * them our node is measured alone. Figures are of this machine and this run: trust the ratios.
 */
import { Consistency } from '../../lib/types/consistency.ts'
import { temporaryDirectory } from '../support/directory.ts'
import { readOptions } from '../support/options.ts'
import { startProcess } from '../support/server.ts'
import { type Asked, type Contender, compareAll, type Operation, peer, type Server } from './compare.ts'

const SHAPES = [
  { inFlight: 1, connections: 1 },
  { inFlight: 32, connections: 1 },
  { inFlight: 32, connections: 16 },
  { inFlight: 256, connections: 1 },
  { inFlight: 256, connections: 16 },
]
const FULL: readonly Operation[] = ['select', 'insert']
const OTHERS: readonly Operation[] = ['slice', 'collect', 'collected', 'batch', 'count', 'cas']
/** No peer has them. */
const OWN: readonly Operation[] = ['vget', 'vput', 'vget20']
const OTHER_SHAPES = SHAPES.filter(({ inFlight }) => inFlight === 32)

const flags = readOptions(
  'npm run bench',
  'this node and its peers under the same load, in one run; also --cluster N, --storage, --http, --internode, each with a --help of its own',
  {
    periodic: { type: 'string', describe: 'Address of a peer that syncs as `commitlog_sync: periodic`' },
    batch: { type: 'string', describe: 'Address of a peer that syncs before it answers' },
    seconds: { type: 'number', default: 5, describe: 'Of each row' },
    keys: { type: 'number', default: 100_000, describe: 'How many' },
    only: { type: 'string', describe: 'Which requests, like select,insert' },
    warm: { type: 'number', default: 20, describe: 'Seconds before' },
  },
)

const asked: Asked = {
  keys: flags.keys,
  replicas: 1,
  consistency: Consistency.ONE,
  seconds: flags.seconds,
  warmSeconds: flags.warm,
  shapesOf: (operation) => (FULL.includes(operation) ? SHAPES : OTHER_SHAPES),
}

async function startOurs(sync: 'periodic' | 'group'): Promise<Server> {
  const { path: directory } = temporaryDirectory('bench')
  const node = await startProcess(['--data', directory, '--commitlog-sync', sync])
  return {
    name: `polyxena ${sync}`,
    addresses: ['127.0.0.1'],
    port: node.port,
    nodes: [node],
    directories: [directory],
  }
}

const only = flags.only?.split(',')
const contenders: Contender[] = [{ open: () => startOurs('periodic'), operations: [...FULL, ...OTHERS, ...OWN] }]
if (flags.periodic)
  contenders.push({ open: async () => peer('periodic', flags.periodic!), operations: [...FULL, ...OTHERS] })
contenders.push({ open: () => startOurs('group'), operations: ['insert'] })
if (flags.batch) contenders.push({ open: async () => peer('batch', flags.batch!), operations: ['insert'] })
await compareAll(
  contenders.map(({ open, operations }) => ({
    open,
    operations: operations.filter((operation) => only === undefined || only.includes(operation)),
  })),
  asked,
  '',
)
