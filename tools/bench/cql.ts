/**
 * `npm run bench`: this node and its peers under the same load, one after the other in one run, as a table with the ratios.
 *
 *     npm run bench -- --periodic 127.0.1.1:9042 --batch 127.0.2.1:9042 [--seconds 5] [--keys 100000] [--only select,insert]
 *
 * Requests: select and insert of one row, in five shapes of load; and with 32 in flight slices of 100 rows, collections written and read, batches of
 * 20 rows, counters, and conditional inserts.
 * --periodic and --batch name peers (any CQL servers) whose writes are durable like our `commitlog_sync: periodic` and `group`. Without
 * them our node is measured alone. Figures are of this machine and this run: trust the ratios.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { endProcess, type NodeProcess, processUsage, startProcess } from '../support/server.ts'
import type { LoadPlan, LoadReport } from './load.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const SHAPES = [
  { inFlight: 1, connections: 1 },
  { inFlight: 32, connections: 1 },
  { inFlight: 32, connections: 16 },
  { inFlight: 256, connections: 1 },
  { inFlight: 256, connections: 16 },
]
const FULL: readonly Operation[] = ['select', 'insert']
const OTHERS: readonly Operation[] = ['slice', 'collect', 'collected', 'batch', 'count', 'cas']
const OTHER_SHAPES = SHAPES.filter(({ inFlight }) => inFlight === 32)
const VALUE_BYTES = 256

interface Server {
  readonly name: string
  readonly address: string
  readonly port: number
  /** Our own process, to say how much CPU and memory it took. */
  readonly node: NodeProcess | null
  readonly directory: string | null
}

type Operation = LoadPlan['operation']

const { values: flags } = parseArgs({
  options: {
    periodic: { type: 'string' },
    batch: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    keys: { type: 'string', default: '100000' },
    only: { type: 'string' },
    warm: { type: 'string', default: '20' },
  },
})

async function load(task: 'fill' | 'run', plan: LoadPlan): Promise<LoadReport | null> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(HERE, 'load.js'), task, JSON.stringify(plan)])
  return stdout === '' ? null : (JSON.parse(stdout) as LoadReport)
}

async function startOurs(sync: 'periodic' | 'group'): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), 'polyxena-bench-'))
  const node = await startProcess(['--data', directory, '--commitlog-sync', sync])
  return { name: `polyxena ${sync}`, address: '127.0.0.1', port: node.port, node, directory }
}

function peer(name: string, given: string): Server {
  const colon = given.lastIndexOf(':')
  return {
    name: `peer ${name}`,
    address: given.slice(0, colon),
    port: Number(given.slice(colon + 1)),
    node: null,
    directory: null,
  }
}

async function stop(server: Server): Promise<void> {
  if (!server.node) return
  await endProcess(server.node, 'SIGTERM')
  if (server.directory) rmSync(server.directory, { recursive: true })
}

async function measure(server: Server, operations: readonly Operation[]): Promise<Map<string, LoadReport>> {
  const base = { address: server.address, port: server.port, keys: Number(flags.keys), valueBytes: VALUE_BYTES }
  const reports = new Map<string, LoadReport>()
  const plan = (operation: Operation, shape: (typeof SHAPES)[number], seconds: number): LoadPlan => ({
    ...base,
    operation,
    ...shape,
    seconds,
    warmSeconds: 1,
  })
  for (const operation of operations) await load('fill', plan(operation, SHAPES[0]!, 0))
  for (const operation of operations)
    await load('run', plan(operation, SHAPES[2]!, Number(flags.warm) / operations.length))
  for (const operation of operations) {
    for (const shape of FULL.includes(operation) ? SHAPES : OTHER_SHAPES) {
      const before = processUsage(server.node?.process.pid)
      const report = await load('run', plan(operation, shape, Number(flags.seconds)))
      const { cpuSeconds, rssBytes } = processUsage(server.node?.process.pid)
      reports.set(`${operation} ${shape.inFlight}/${shape.connections}`, report!)
      const cores = (cpuSeconds - before.cpuSeconds) / (report!.seconds + 1)
      const own = server.node ? `, server ${cores.toFixed(2)} cores, ${(rssBytes / 1024 ** 2).toFixed(0)} MiB` : ''
      process.stderr.write(
        `${server.name}: ${operation} ${shape.inFlight} in flight over ${shape.connections}: ${Math.round(report!.requests / report!.seconds)}/s, load program ${report!.cpuShare.toFixed(2)} cores${own}\n`,
      )
    }
  }
  return reports
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function table(
  results: readonly { server: Server; reports: Map<string, LoadReport> }[],
  pairs: readonly (readonly [string, string])[],
): string {
  const lines = [
    row([
      'request',
      'in flight / connections',
      'server',
      'requests/s',
      'p50 ms',
      'p99 ms',
      'p99.9 ms',
      'errors',
      'load CPU',
    ]),
    row(Array<string>(9).fill('---')),
  ]
  const keys = [...new Set(results.flatMap(({ reports }) => [...reports.keys()]))].sort()
  for (const key of keys) {
    for (const { server, reports } of results) {
      const report = reports.get(key)
      if (!report) continue
      const [operation, shape] = key.split(' ')
      lines.push(
        row([
          operation!,
          shape!,
          server.name,
          String(Math.round(report.requests / report.seconds)),
          ...[report.p50, report.p99, report.p999].map((ms) => ms.toFixed(2)),
          String(report.errors),
          report.cpuShare.toFixed(2),
        ]),
      )
    }
  }
  lines.push(
    '',
    row(['request', 'in flight / connections', 'ours : peer', 'throughput', 'p50', 'p99']),
    row(Array<string>(6).fill('---')),
  )
  for (const key of keys) {
    for (const [ours, theirs] of pairs) {
      const a = results.find(({ server }) => server.name === ours)?.reports.get(key)
      const b = results.find(({ server }) => server.name === theirs)?.reports.get(key)
      if (!a || !b) continue
      const [operation, shape] = key.split(' ')
      const ratio = (x: number, y: number): string => `${(x / y).toFixed(2)}×`
      lines.push(
        row([
          operation!,
          shape!,
          `${ours} : ${theirs}`,
          ratio(a.requests / a.seconds, b.requests / b.seconds),
          ratio(a.p50, b.p50),
          ratio(a.p99, b.p99),
        ]),
      )
    }
  }
  return lines.join('\n')
}

const only = flags.only?.split(',')
const plans: { open: () => Promise<Server>; operations: Operation[] }[] = [
  { open: () => startOurs('periodic'), operations: [...FULL, ...OTHERS] },
]
if (flags.periodic)
  plans.push({ open: async () => peer('periodic', flags.periodic!), operations: [...FULL, ...OTHERS] })
plans.push({ open: () => startOurs('group'), operations: ['insert'] })
if (flags.batch) plans.push({ open: async () => peer('batch', flags.batch!), operations: ['insert'] })

const results: { server: Server; reports: Map<string, LoadReport> }[] = []
for (const { open, operations } of plans) {
  const chosen = operations.filter((operation) => only === undefined || only.includes(operation))
  if (chosen.length === 0) continue
  const server = await open()
  try {
    results.push({ server, reports: await measure(server, chosen) })
  } finally {
    await stop(server)
  }
}
const failed = results.some(({ reports }) => [...reports.values()].some(({ errors }) => errors > 0))
process.stdout.write(
  `${cpus().length} cores, Node ${process.version}, ${VALUE_BYTES}-byte values, ${flags.keys} keys, ${flags.seconds} s a row\n\n`,
)
process.stdout.write(
  `${table(results, [
    ['polyxena periodic', 'peer periodic'],
    ['polyxena group', 'peer batch'],
  ])}\n`,
)
if (failed) process.stdout.write('\nsome answers were wrong: the figures above are void\n')
process.exitCode = failed ? 1 : 0
