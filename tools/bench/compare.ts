/** Servers under the same load, one after the other in one run, and the table that compares them. */
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { endProcess, type NodeProcess, processUsage } from '../support/server.ts'
import type { LoadPlan } from './load.ts'
import type { LoadReport } from './load-report.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const VALUE_BYTES = 256

export interface Server {
  readonly name: string
  /** Of all its nodes. */
  readonly addresses: readonly string[]
  readonly port: number
  /** Our own processes, to say how much CPU and memory they took. */
  readonly nodes: readonly NodeProcess[]
  readonly directories: readonly string[]
}

export type Operation = LoadPlan['operation']

export interface Shape {
  readonly inFlight: number
  readonly connections: number
}

/** What is asked of every server alike. */
export interface Asked {
  readonly keys: number
  readonly replicas: number
  readonly consistency: number
  /** Of each measured row, and of warming each server up. */
  readonly seconds: number
  readonly warmSeconds: number
  shapesOf(operation: Operation): readonly Shape[]
}

interface Measured {
  readonly server: Server
  readonly reports: ReadonlyMap<string, LoadReport>
}

/** `a:port,b:port,…`: the nodes of a server that runs already, all with one port. */
export function peer(name: string, given: string): Server {
  const nodes = given.split(',').map((node) => {
    const colon = node.lastIndexOf(':')
    return { address: node.slice(0, colon), port: Number(node.slice(colon + 1)) }
  })
  const addresses = nodes.map(({ address }) => address)
  return { name: `peer ${name}`, addresses, port: nodes[0]!.port, nodes: [], directories: [] }
}

async function stop(server: Server): Promise<void> {
  for (const node of server.nodes) await endProcess(node, 'SIGTERM')
  for (const directory of server.directories) rmSync(directory, { recursive: true })
}

async function load(task: 'fill' | 'run', plan: LoadPlan): Promise<LoadReport | null> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(HERE, 'load.js'), task, JSON.stringify(plan)])
  return stdout === '' ? null : (JSON.parse(stdout) as LoadReport)
}

function usage(server: Server): { readonly rssBytes: number; readonly cpuSeconds: number } {
  let rssBytes = 0
  let cpuSeconds = 0
  for (const { process } of server.nodes) {
    const used = processUsage(process.pid)
    rssBytes += used.rssBytes
    cpuSeconds += used.cpuSeconds
  }
  return { rssBytes, cpuSeconds }
}

async function measure(server: Server, operations: readonly Operation[], asked: Asked): Promise<Measured> {
  const { keys, replicas, consistency } = asked
  const reports = new Map<string, LoadReport>()
  const plan = (operation: Operation, shape: Shape, seconds: number): LoadPlan => ({
    addresses: server.addresses,
    port: server.port,
    replicas,
    consistency,
    keys,
    valueBytes: VALUE_BYTES,
    operation,
    ...shape,
    seconds,
    warmSeconds: 1,
  })
  for (const operation of operations) await load('fill', plan(operation, { inFlight: 1, connections: 1 }, 0))
  for (const operation of operations) {
    const nodes = server.addresses.length
    await load('run', plan(operation, { inFlight: 32, connections: 16 * nodes }, asked.warmSeconds / operations.length))
  }
  for (const operation of operations) {
    for (const shape of asked.shapesOf(operation)) {
      const before = usage(server)
      const report = (await load('run', plan(operation, shape, asked.seconds)))!
      const { cpuSeconds, rssBytes } = usage(server)
      reports.set(`${operation} ${shape.inFlight}/${shape.connections}`, report)
      const cores = (cpuSeconds - before.cpuSeconds) / (report.seconds + 1)
      const own =
        server.nodes.length > 0 ? `, server ${cores.toFixed(2)} cores, ${(rssBytes / 1024 ** 2).toFixed(0)} MiB` : ''
      process.stderr.write(
        `${server.name}: ${operation} ${shape.inFlight} in flight over ${shape.connections}: ${Math.round(report.requests / report.seconds)}/s, load program ${report.cpuShare.toFixed(2)} cores${own}\n`,
      )
    }
  }
  return { server, reports }
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

/** Ours and those that are compared with them, by name. */
const PAIRS = [
  ['polyxena periodic', 'peer periodic'],
  ['polyxena group', 'peer batch'],
] as const

/** Requests of one server that are compared with each other. */
const KINDS: readonly (readonly [Operation, Operation])[] = [
  ['vget', 'select'],
  ['vput', 'insert'],
  ['vget20', 'vget'],
]

/** The figures, and the ratios of each pair of servers. */
function table(results: readonly Measured[]): string {
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
    for (const [ours, theirs] of PAIRS) {
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
  for (const { server, reports } of results)
    for (const [ours, plain] of KINDS)
      for (const [name, a] of reports) {
        const [operation, shape] = name.split(' ')
        const b = reports.get(`${plain} ${shape}`)
        if (operation !== ours || b === undefined) continue
        const ratio = a.requests / a.seconds / (b.requests / b.seconds)
        lines.push(row([ours, shape!, `${server.name}: ${plain}`, `${ratio.toFixed(2)}×`, '', '']))
      }
  return lines.join('\n')
}

/** What is measured of one server, and how it comes up. */
export interface Contender {
  open(): Promise<Server>
  readonly operations: readonly Operation[]
}

/** One after the other; prints the table, and fails the process when answers were wrong. */
export async function compareAll(contenders: readonly Contender[], asked: Asked, title: string): Promise<void> {
  const results: Measured[] = []
  for (const { open, operations } of contenders) {
    if (operations.length === 0) continue
    const server = await open()
    try {
      results.push(await measure(server, operations, asked))
    } finally {
      await stop(server)
    }
  }
  process.stdout.write(
    `${title}${cpus().length} cores, Node ${process.version}, ${VALUE_BYTES}-byte values, ${asked.keys} keys, ${asked.seconds} s a row\n\n`,
  )
  process.stdout.write(`${table(results)}\n`)
  if (!results.some(({ reports }) => [...reports.values()].some(({ errors }) => errors > 0))) return
  process.stdout.write('\nsome answers were wrong: the figures above are void\n')
  process.exitCode = 1
}
