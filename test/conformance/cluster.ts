/**
 * `npm run conformance -- --cluster [languages…]`: the drivers of other languages against clusters that lose nodes and get them back: three nodes of
 * which one is killed, and two data centres of three of which one is killed, or stands still. Each program (programs/, Usage in its head) writes and reads on
 * while nodes are away, and looks for all that it wrote when they are back.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endProcess, type NodeProcess, startProcess } from '../../tools/support/server.ts'
import type { Counts, Language } from './languages.ts'
import { runSiblings } from './siblings.ts'

const NETWORK = '127.0.62'
const PORT = 9042
const PHASE_MS = 180_000

interface Member {
  readonly address: string
  readonly datacenter: string
  readonly directory: string
  process: NodeProcess
}

interface Scenario {
  readonly name: string
  readonly datacenters: string
  /** Nodes of the last data centre that go away. */
  readonly away: number
  readonly how: 'killed' | 'stopped'
}

const SCENARIOS: readonly Scenario[] = [
  { name: '3 nodes, one killed', datacenters: 'dc1:3', away: 1, how: 'killed' },
  { name: '3 + 3 nodes, a data centre killed', datacenters: 'dc1:3,dc2:3', away: 3, how: 'killed' },
  { name: '3 + 3 nodes, a data centre stands still', datacenters: 'dc1:3,dc2:3', away: 3, how: 'stopped' },
]

export async function runClusterConformance(languages: ReadonlyMap<string, Language>): Promise<Counts> {
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const scenario of SCENARIOS) {
    const members = await startMembers(scenario.datacenters)
    try {
      for (const [name, language] of languages) {
        const counts = await runProgram(`${name}, ${scenario.name}`, language, scenario, members)
        sum.passed += counts.passed
        sum.failed += counts.failed
      }
    } finally {
      for (const member of members) await endProcess(member.process, 'SIGTERM')
      for (const member of members) rmSync(member.directory, { recursive: true })
    }
  }
  const siblings = await runSiblings(languages)
  sum.passed += siblings.passed
  sum.failed += siblings.failed
  return sum
}

async function startMembers(datacenters: string): Promise<Member[]> {
  const places: { address: string; datacenter: string }[] = []
  for (const each of datacenters.split(',')) {
    const [datacenter, count] = each.split(':')
    for (let i = 0; i < Number(count); i++)
      places.push({ address: `${NETWORK}.${places.length + 1}`, datacenter: datacenter! })
  }
  return Promise.all(
    places.map(async (place) => {
      const directory = mkdtempSync(join(tmpdir(), 'polyxena-cluster-'))
      return { ...place, directory, process: await startMember({ ...place, directory }) }
    }),
  )
}

function startMember({ address, datacenter, directory }: Omit<Member, 'process'>): Promise<NodeProcess> {
  const seeds = [1, 2, 3].map((i) => `${NETWORK}.${i}`).join(',')
  const options = { address, port: PORT, 'admin-port': 0, seeds, dc: datacenter, data: directory }
  return startProcess(Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]))
}

/** The program says when nodes shall go away, and when they shall be back. */
async function runProgram(
  name: string,
  language: Language,
  { datacenters, away, how }: Scenario,
  members: readonly Member[],
): Promise<{ passed: number; failed: number }> {
  const local = members.filter(({ datacenter }) => datacenter === 'dc1')
  const target = { addresses: local.map(({ address }) => address).join(','), port: String(PORT), datacenter: 'dc1' }
  const [command, ...words] = language.cluster(target, datacenters)
  const child = spawn(command!, words, { cwd: language.folder, timeout: PHASE_MS })
  const victims = members.slice(-away)
  let output = ''
  let rest = ''
  let turn = Promise.resolve()
  child.stderr.on('data', (chunk) => process.stderr.write(chunk))
  child.stdout.on('data', (chunk) => {
    rest += String(chunk)
    const lines = rest.split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      if (/^(not )?ok - /.test(line)) {
        output += `${line}\n`
        process.stdout.write(`${line.replace(' - ', ` - ${name}: `)}\n`)
      }
      if (line.startsWith('phase ')) turn = turn.then(() => enter(line.slice(6), victims, how, child))
    }
  })
  const status = await new Promise((resolve) => child.on('close', resolve))
  await turn
  const failed = output.match(/^not ok - /gm)?.length ?? 0
  const isBroken = status !== 0 && failed === 0
  if (isBroken) process.stdout.write(`not ok - ${name}: ended with status ${String(status)}\n`)
  if (isBroken || failed > 0) await restore(victims, how)
  return { passed: output.match(/^ok - /gm)?.length ?? 0, failed: failed + (isBroken ? 1 : 0) }
}

async function enter(
  phase: string,
  victims: readonly Member[],
  how: Scenario['how'],
  child: ChildProcess,
): Promise<void> {
  if (phase === 'whole')
    for (const { process } of victims) {
      if (how === 'killed') await endProcess(process, 'SIGKILL')
      else process.process.kill('SIGSTOP')
    }
  else await restore(victims, how)
  child.stdin?.write('go on\n')
}

async function restore(victims: readonly Member[], how: Scenario['how']): Promise<void> {
  await Promise.all(
    victims.map(async (member) => {
      if (how === 'stopped') member.process.process.kill('SIGCONT')
      else if (member.process.process.exitCode !== null || member.process.process.signalCode !== null)
        member.process = await startMember(member)
    }),
  )
}
