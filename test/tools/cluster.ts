/** `npm run cluster`: what it plans, what it shows, and a cluster of processes from start to stop. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { addressAfter, type ClusterPlan, planCluster } from '../../tools/cluster/plan.ts'
import { COLORED, clusterLines, type NodeLine, PLAIN } from '../../tools/cluster/screen.ts'
import { loopbackNetwork } from '../support/loopback.ts'

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), '../../tools/cluster.js')

const plan = (...words: string[]): ClusterPlan => planCluster(words, '/data')!

t.test('plans', (t) => {
  const three = plan()
  t.same(
    three.nodes.map(({ address }) => address),
    ['127.0.0.1', '127.0.0.2', '127.0.0.3'],
  )
  t.same(three.ports, { client: 9042, storage: 7000, admin: 7199 })
  t.match(three.nodes[1], { datacenter: 'datacenter1', rack: 'rack1', directory: '/data/node2' })
  const two = plan('--dc', 'dc1:3,dc2:2', '--racks', '2', '--set', 'num_tokens=16', '--address', '10.0.0.255')
  t.same(
    two.nodes.map(({ datacenter, rack }) => `${datacenter} ${rack}`),
    ['dc1 rack1', 'dc1 rack2', 'dc1 rack1', 'dc2 rack1', 'dc2 rack2'],
  )
  t.equal(two.nodes[4]!.address, '10.0.1.3')
  const { flags } = two.nodes[0]!
  t.equal(
    flags[flags.indexOf('--seeds') + 1],
    '10.0.0.255,10.0.1.2,10.0.1.0,10.0.1.1,10.0.1.3',
    'seeds in each data centre',
  )
  t.same(flags.slice(-2), ['--num-tokens', '16'])
  t.equal(planCluster(['--help'], '/data'), null)
  t.equal(addressAfter('127.0.0.254', 3), '127.0.1.1')
  t.end()
})

t.test('what is refused', (t) => {
  const refused = (message: RegExp, ...words: string[]) =>
    t.throws(() => plan(...words), { name: 'PlanError', message }, words.join(' '))
  refused(/whole number above 0/, '--nodes', '0')
  refused(/whole number above 0/, '--nodes', 'three')
  refused(/more than one machine/, '--nodes', '51')
  refused(/names and counts/, '--dc', 'dc1')
  refused(/named twice/, '--dc', 'dc1:1,dc1:2')
  refused(/no such port/, '--port', '70000')
  refused(/address of IPv4/, '--address', '::1')
  refused(/name=value/, '--set', 'x')
  refused(/Unknown option/, '--frobnicate')
  t.end()
})

t.test('the screen', (t) => {
  const node: NodeLine = {
    number: 1,
    address: '127.0.0.1',
    datacenter: 'dc1',
    rack: 'rack1',
    pid: 7,
    phase: 'serving',
    ending: '',
    standing: 'UN',
    loadBytes: 2048,
    owns: 0.3333,
    memoryBytes: 90 * 2 ** 20,
  }
  const ended: NodeLine = {
    ...node,
    number: 2,
    phase: 'ended',
    ending: 'ended by SIGKILL',
    standing: 'UN',
    loadBytes: null,
    owns: null,
  }
  t.same(clusterLines([node, ended], PLAIN), [
    '    Node  Address    Data centre  Rack   Load      Owns   Memory  Process',
    'UN  1     127.0.0.1  dc1          rack1  2.00 KiB  33.3%  90 MiB  7        serving',
    'DN  2     127.0.0.1  dc1          rack1  ?         ?      -       7        ended by SIGKILL',
  ])
  const [, up, down] = clusterLines([node, ended], COLORED)
  t.match(up, '\x1b[32mUN')
  t.match(down, '\x1b[31mDN')
  t.match(clusterLines([{ ...node, standing: 'UJ' }], COLORED)[1], '\x1b[33mUJ')
  t.end()
})

interface Ran {
  readonly output: string
  readonly status: number | null
}

/** `seen`: called with all output so far. */
function run(words: readonly string[], seen: (output: string, stop: () => void) => void = () => {}): Promise<Ran> {
  const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const hear = (chunk: Buffer): void => {
    output += chunk.toString('utf8')
    seen(output, () => child.kill('SIGINT'))
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  return new Promise((resolve) => child.once('close', (status) => resolve({ output, status })))
}

t.test('from start to stop, and an address that is taken', async (t) => {
  const network = await loopbackNetwork()
  const words = ['--nodes', '2', '--address', `${network}.1`, '--set', 'num_tokens=8']
  let folder = ''
  let asked = false
  const { output, status } = await run(words, (sofar, stop) => {
    folder = /logs in (\S+)\/node\*/.exec(sofar)?.[1] ?? folder
    if (!asked && /UN +2 /.test(sofar)) {
      t.ok(existsSync(join(folder, 'node2/log.txt')))
      asked = true
      stop()
    }
  })
  t.equal(status, 0, output)
  t.match(output, /^2 nodes serve CQL after \d+ ms\. cqlsh 127\./)
  t.match(output, /UN +1 /)
  t.match(output, /All 2 nodes are stopped\.\n$/)
  t.notOk(existsSync(folder), 'temporary data goes with the cluster')

  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(7000, `${network}.2`, resolve))
  const refused = await run(words)
  taken.close()
  t.equal(refused.status, 1)
  t.match(refused.output, `polyxena cluster: ${network}.2:7000 is taken by another program: end that one`)
})

t.test('a node that does not start is told of, and the others are stopped', async (t) => {
  const network = await loopbackNetwork()
  const { output, status } = await run(['--nodes', '1', '--address', `${network}.1`, '--set', 'num_tokens=0'])
  t.equal(status, 1)
  t.match(output, /^polyxena cluster: node 1 \(127\.\S+\) did not start: --num-tokens/)
})
