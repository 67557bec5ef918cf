/**
 * `npm run cluster`: a whole cluster on this machine, one process and one loopback address a node, with its status as it changes. Ctrl-C stops all nodes
 * cleanly. A node that ends, or is killed to see what then happens, ends alone.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RingReport } from '../lib/server/admin/cluster-reports.ts'
import { ClusterProcess } from './cluster/node-process.ts'
import { type ClusterPlan, PlanError, type PlannedNode, planCluster, USAGE } from './cluster/plan.ts'
import { COLORED, clusterLines, type NodeLine, PLAIN } from './cluster/screen.ts'
import { AdminClient } from './nodetool/client.ts'
import { processUsage } from './support/server.ts'

const LOOK_EVERY_MS = 1_000
const FIRST_LOOK_MS = 100
/** Who says nothing for so long stands still: the next node is asked. */
const SILENCE_MS_MAX = 500
const STATES = { joining: 'J', normal: 'N', leaving: 'L' } as const

const isTerminal = process.stdout.isTTY === true
const paint = isTerminal && !process.env.NO_COLOR && !process.argv.includes('--no-color') ? COLORED : PLAIN

async function main(): Promise<void> {
  const temporary = join(tmpdir(), 'polyxena-cluster-')
  const words = process.argv.slice(2)
  const plan = planCluster(words, temporary)
  if (plan === null) {
    process.stdout.write(USAGE)
    return
  }
  const isTemporary = plan.nodes[0]!.directory.startsWith(temporary)
  const directory = isTemporary ? mkdtempSync(temporary) : null
  const nodes = directory === null ? plan.nodes : planCluster(words, directory)!.nodes
  try {
    await Promise.all(nodes.map((node) => checkFree(node, plan.ports)))
    for (const node of nodes) mkdirSync(node.directory, { recursive: true })
    await run({ ...plan, nodes })
  } finally {
    if (directory !== null) rmSync(directory, { recursive: true, force: true })
  }
}

/** Ports are looked at before any node starts: that says which address, and what to do, in one line. */
async function checkFree({ address }: PlannedNode, ports: ClusterPlan['ports']): Promise<void> {
  for (const port of [ports.client, ports.storage, ports.admin]) {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(new PlanError(whyNot(address, port, error))))
      server.listen(port, address, () => server.close(() => resolve()))
    })
  }
}

function whyNot(address: string, port: number, { code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${address}:${port} is taken by another program: end that one, or choose other addresses with --address or another port`
    case 'EADDRNOTAVAIL':
      return `${address} is no address of this machine: on macOS, sudo ifconfig lo0 alias ${address}`
    default:
      return `${address}:${port} cannot be listened on: ${message}`
  }
}

async function run(plan: ClusterPlan): Promise<void> {
  const began = performance.now()
  const nodes = plan.nodes.map((node) => new ClusterProcess(node))
  let stops = 0
  let stopped: () => void = () => {}
  const asked = new Promise<void>((resolve) => {
    stopped = resolve
  })
  const stop = (): void => {
    stops++
    for (const node of nodes) node.stop(stops > 1)
    stopped()
  }
  const killAll = (): void => {
    for (const node of nodes) node.stop(true)
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  process.once('exit', killAll)
  try {
    await Promise.race([Promise.all(nodes.map(({ started }) => started)), asked])
    if (stops === 0) await show(plan, nodes, Math.round(performance.now() - began), asked)
  } catch (error) {
    const failed = nodes.find(({ phase }) => phase === 'ended')
    process.stderr.write(
      `polyxena cluster: node ${failed?.plan.number} (${failed?.plan.address}) did not start: ${(error as Error).message}\n`,
    )
    process.exitCode = 1
  }
  if (stops === 0) stop()
  await Promise.all(nodes.map(({ ended }) => ended))
  process.off('exit', killAll)
  process.off('SIGINT', stop)
  process.off('SIGTERM', stop)
  if (process.exitCode !== 1) process.stdout.write(`All ${nodes.length} nodes are stopped.\n`)
}

/** Until somebody asks for the end. */
async function show(
  plan: ClusterPlan,
  nodes: readonly ClusterProcess[],
  startMs: number,
  asked: Promise<void>,
): Promise<void> {
  const port = plan.ports.client === 9042 ? '' : ` ${plan.ports.client}`
  const first = plan.nodes[0]!
  process.stdout.write(
    `${nodes.length} nodes serve CQL after ${startMs} ms. ${paint(`cqlsh ${first.address}${port}`, 'bold')}, ` +
      `npx polyxena-nodetool -h ${first.address} status; logs in ${join(first.directory, '..', 'node*', 'log.txt')}\n\n`,
  )
  let shown: string[] = []
  const ends = performance.now() + plan.seconds * 1_000
  for (let isAsked = false; !isAsked && performance.now() < ends; ) {
    const seen = await look(plan, nodes)
    const lines = clusterLines(seen, paint)
    const isEarly = shown.length === 0 && seen.every(({ standing }) => standing === null)
    if (isEarly) {
      // Nodes open their administration interface last.
    } else if (isTerminal) {
      const back = shown.length === 0 ? '' : `\x1b[${shown.length}A`
      process.stdout.write(`${back}${lines.map((line) => `\x1b[2K${line}\n`).join('')}`)
    } else if (changes(lines) !== changes(shown)) process.stdout.write(`${lines.join('\n')}\n`)
    if (!isEarly) shown = lines
    isAsked = await Promise.race([
      asked.then(() => true),
      new Promise<false>((resolve) => setTimeout(resolve, isEarly ? FIRST_LOOK_MS : LOOK_EVERY_MS, false).unref()),
    ])
    if (nodes.every(({ phase }) => phase === 'ended')) return
  }
}

/** What is worth a line where lines are kept: who is there, not how much memory it has. */
function changes(lines: readonly string[]): string {
  return lines.map((line) => line.replace(/[\d.]+ (bytes|[KMG]iB)/g, '').replace(/ +/g, ' ')).join('\n')
}

/** What the first node that answers says of all. */
async function look(plan: ClusterPlan, nodes: readonly ClusterProcess[]): Promise<NodeLine[]> {
  let report: RingReport | null = null
  for (const { plan: node, phase } of nodes) {
    if (phase !== 'serving') continue
    const client = new AdminClient({ host: node.address, port: plan.ports.admin, socket: null }, SILENCE_MS_MAX)
    report = await client.get<RingReport>('ring').catch(() => null)
    if (report) break
  }
  return nodes.map(({ plan: node, pid, phase, ending }) => {
    const heard = report?.nodes.find(({ address }) => address === node.address) ?? null
    return {
      ...node,
      pid,
      phase,
      ending,
      standing: heard && `${heard.up ? 'U' : 'D'}${STATES[heard.status]}`,
      loadBytes: heard?.loadBytes ?? null,
      owns: heard?.owns ?? null,
      memoryBytes: processUsage(pid).rssBytes,
    }
  })
}

main().catch((error: unknown) => {
  if (!(error instanceof PlanError)) throw error
  process.stderr.write(`polyxena cluster: ${error.message}\n`)
  process.exitCode = 1
})
