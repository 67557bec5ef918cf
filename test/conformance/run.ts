/**
 * `npm run conformance`: the drivers of other languages against a node. Each program under programs/ prints `ok - …` and `not ok - …`; a
 * language whose tools are missing is skipped, and said. Arguments name languages; none means all. With --cluster: clusters that lose nodes (cluster.ts).
 * ADDRESS=a:port DC=x asks another server.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startNode } from '../../lib/index.ts'
import { runClusterConformance } from './cluster.ts'
import { runCqlshSessions } from './cqlsh.ts'
import {
  BUILD_MS,
  type Counts,
  LANGUAGES,
  type Language,
  PROGRAMS,
  prepareLanguage,
  type Target,
  WORK,
} from './languages.ts'

const SESSIONS = join(PROGRAMS, '../../golden/cqlsh')
const RUN_MS = 120_000

async function runLanguage(name: string, language: Language, target: Target): Promise<Counts> {
  const problem = prepareLanguage(name, language)
  if (problem) {
    process.stdout.write(`${problem.line}\n`)
    return { passed: 0, failed: problem.isMissing ? 0 : 1, skipped: problem.isMissing ? 1 : 0 }
  }
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const [command, ...words] of language.programs(target)) {
    const child = spawn(command!, words, { cwd: language.folder, timeout: RUN_MS })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += String(chunk)
    })
    child.stderr.on('data', (chunk) => process.stderr.write(chunk))
    const status = await new Promise((resolve) => child.on('close', resolve))
    process.stdout.write(output.replace(/^(ok|not ok) - /gm, `$1 - ${name}: `))
    const failed = output.match(/^not ok - /gm)?.length ?? 0
    const isBroken = status !== 0 && failed === 0
    if (isBroken) process.stdout.write(`not ok - ${name}: ${words.join(' ')} ended with status ${String(status)}\n`)
    sum.passed += output.match(/^ok - /gm)?.length ?? 0
    sum.failed += failed + (isBroken ? 1 : 0)
  }
  return sum
}

/** In a virtual environment of its own; CQLSH=path takes one that is there. */
async function runCqlsh({ address, port }: Target): Promise<Counts> {
  let cqlsh = process.env.CQLSH
  if (!cqlsh) {
    const environment = join(WORK, 'cqlsh')
    cqlsh = join(environment, 'bin/cqlsh')
    const install: [string, string[]][] = [
      ['python3', ['-m', 'venv', environment]],
      [join(environment, 'bin/pip'), ['-q', 'install', 'cqlsh==6.2.2', 'cassandra-driver==3.30.1']],
    ]
    if (
      !existsSync(cqlsh) &&
      install.some(([tool, words]) => spawnSync(tool, words, { timeout: BUILD_MS }).status !== 0)
    ) {
      process.stdout.write('skipped - cqlsh: it cannot be installed\n')
      return { passed: 0, failed: 0, skipped: 1 }
    }
  }
  const lines = await runCqlshSessions({ cqlsh, address, port }, SESSIONS)
  for (const line of lines) process.stdout.write(`${line.replace(' - ', ' - cqlsh: ')}\n`)
  const passed = lines.filter((line) => line.startsWith('ok')).length
  return { passed, failed: lines.length - passed, skipped: 0 }
}

async function runCluster(wanted: readonly string[]): Promise<Counts> {
  const ready = new Map<string, Language>()
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const [name, language] of Object.entries(LANGUAGES)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const problem = prepareLanguage(name, language)
    if (problem) process.stdout.write(`${problem.line}\n`)
    if (problem === null) ready.set(name, language)
    else if (problem.isMissing) sum.skipped += 1
    else sum.failed += 1
  }
  const counts = await runClusterConformance(ready)
  return { ...sum, passed: counts.passed, failed: sum.failed + counts.failed }
}

async function runAll(wanted: readonly string[]): Promise<Counts> {
  const given = process.env.ADDRESS?.split(':')
  const node = given ? null : await startNode({ memory: true, settings: { dc: 'dc1' } })
  const target: Target = {
    address: given?.[0] ?? node!.address,
    port: given?.[1] ?? String(node?.port ?? 9042),
    datacenter: process.env.DC ?? 'dc1',
  }
  const sum = { passed: 0, failed: 0, skipped: 0 }
  const add = (counts: Counts): void => {
    sum.passed += counts.passed
    sum.failed += counts.failed
    sum.skipped += counts.skipped
  }
  for (const [name, language] of Object.entries(LANGUAGES))
    if (wanted.length === 0 || wanted.includes(name)) add(await runLanguage(name, language, target))
  if (wanted.length === 0 || wanted.includes('cqlsh')) add(await runCqlsh(target))
  await node?.close()
  return sum
}

mkdirSync(WORK, { recursive: true })
const words = process.argv.slice(2)
const wanted = words.filter((word) => word !== '--cluster')
const sum = words.includes('--cluster') ? await runCluster(wanted) : await runAll(wanted)
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`)
process.exitCode = sum.failed === 0 ? 0 : 1
