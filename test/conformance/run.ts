/**
 * `npm run conformance`: the drivers of other languages against a node. Each program under programs/ prints `ok - …` and `not ok - …`; a
 * language whose tools are missing is skipped, and said. Arguments name languages; none means all. ADDRESS=a:port DC=x asks another server.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startNode } from '../../lib/index.ts'
import { runCqlshSessions } from './cqlsh.ts'

const PROGRAMS = join(dirname(fileURLToPath(import.meta.url)), '../../../test/conformance/programs')
const SESSIONS = join(PROGRAMS, '../../golden/cqlsh')
const WORK = join(tmpdir(), 'polyxena-conformance')
const BUILD_MS = 600_000
const RUN_MS = 120_000

interface Target {
  readonly address: string
  readonly port: string
  readonly datacenter: string
}

interface Language {
  readonly tool: string
  readonly folder: string
  prepare(): string[][]
  programs(target: Target): string[][]
}

const venv = join(WORK, 'python')
const LANGUAGES: Record<string, Language> = {
  python: {
    tool: 'python3',
    folder: PROGRAMS,
    prepare: () => [
      ['python3', '-m', 'venv', venv],
      [join(venv, 'bin/pip'), '-q', 'install', 'cassandra-driver==3.30.1', 'lz4'],
    ],
    programs: ({ address, port }) =>
      ['python.py', 'prepared.py', 'cqlengine.py'].map((program) => [join(venv, 'bin/python'), program, address, port]),
  },
  go: {
    tool: 'go',
    folder: join(PROGRAMS, 'go'),
    prepare: () => [['go', 'build', '-o', join(WORK, 'go-conformance'), '.']],
    programs: ({ address, port }) => [[join(WORK, 'go-conformance'), address, port]],
  },
  java: {
    tool: 'mvn',
    folder: join(PROGRAMS, 'java'),
    prepare: () => [
      ['mvn', '-q', '-B', 'compile', 'dependency:copy-dependencies', `-DoutputDirectory=${join(WORK, 'jars')}`],
    ],
    programs: ({ address, port, datacenter }) =>
      ['Conformance', 'MapperConformance'].map((program) => [
        'java',
        '-cp',
        `target/classes:${join(WORK, 'jars')}/*`,
        program,
        address,
        port,
        datacenter,
      ]),
  },
  rust: {
    tool: 'cargo',
    folder: join(PROGRAMS, 'rust'),
    prepare: () => [['cargo', 'build', '-q', '--target-dir', join(WORK, 'rust')]],
    programs: ({ address, port }) => [[join(WORK, 'rust/debug/conformance'), address, port]],
  },
}

async function runLanguage(
  name: string,
  language: Language,
  target: Target,
): Promise<{ passed: number; failed: number; skipped: number }> {
  if (spawnSync(language.tool, ['--version']).error) {
    process.stdout.write(`skipped - ${name}: ${language.tool} is not installed\n`)
    return { passed: 0, failed: 0, skipped: 1 }
  }
  for (const [command, ...words] of language.prepare()) {
    const { status, stderr, stdout } = spawnSync(command!, words, {
      cwd: language.folder,
      timeout: BUILD_MS,
      encoding: 'utf8',
    })
    if (status !== 0) {
      process.stdout.write(`not ok - ${name}: ${command} ${words.join(' ')}\n${stdout}${stderr}\n`)
      return { passed: 0, failed: 1, skipped: 0 }
    }
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
async function runCqlsh({ address, port }: Target): Promise<{ passed: number; failed: number; skipped: number }> {
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

mkdirSync(WORK, { recursive: true })
const given = process.env.ADDRESS?.split(':')
const node = given ? null : await startNode({ memory: true, settings: { dc: 'dc1' } })
const target: Target = {
  address: given?.[0] ?? node!.address,
  port: given?.[1] ?? String(node?.port ?? 9042),
  datacenter: process.env.DC ?? 'dc1',
}
const wanted = process.argv.slice(2)
const sum = { passed: 0, failed: 0, skipped: 0 }
for (const [name, language] of Object.entries(LANGUAGES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  const counts = await runLanguage(name, language, target)
  sum.passed += counts.passed
  sum.failed += counts.failed
  sum.skipped += counts.skipped
}
if (wanted.length === 0 || wanted.includes('cqlsh')) {
  const counts = await runCqlsh(target)
  sum.passed += counts.passed
  sum.failed += counts.failed
  sum.skipped += counts.skipped
}
await node?.close()
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`)
process.exitCode = sum.failed === 0 ? 0 : 1
