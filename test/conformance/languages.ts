/** The languages whose drivers are tried: what each needs, and its programs. */
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const PROGRAMS = join(dirname(fileURLToPath(import.meta.url)), '../../../test/conformance/programs')
export const WORK = join(tmpdir(), 'polyxena-conformance')
export const BUILD_MS = 600_000

export interface Target {
  readonly address: string
  readonly port: string
  readonly datacenter: string
}

export interface ClusterTarget {
  /** Of the data centre, with commas. */
  readonly addresses: string
  readonly port: string
  readonly datacenter: string
}

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export interface Language {
  readonly tool: string
  readonly folder: string
  prepare(): string[][]
  programs(target: Target): string[][]
  /** `datacenters`: dc1:3,dc2:3, the nodes and replicas of each. */
  cluster(target: ClusterTarget, datacenters: string): string[]
  /** The program of siblings.ts; absent: there is none. Addresses of two data centres, with commas. */
  siblings?(east: string, west: string, port: string): string[]
}

const venv = join(WORK, 'python')
export const LANGUAGES: Readonly<Record<string, Language>> = {
  python: {
    tool: 'python3',
    folder: PROGRAMS,
    prepare: () => [
      ['python3', '-m', 'venv', venv],
      [join(venv, 'bin/pip'), '-q', 'install', 'cassandra-driver==3.30.1', 'lz4'],
    ],
    programs: ({ address, port }) =>
      ['python.py', 'prepared.py', 'cqlengine.py'].map((program) => [join(venv, 'bin/python'), program, address, port]),
    cluster: ({ addresses, port, datacenter }, datacenters) => [
      join(venv, 'bin/python'),
      'cluster.py',
      addresses,
      port,
      datacenter,
      datacenters,
    ],
    siblings: (...target) => [join(venv, 'bin/python'), 'siblings.py', ...target],
  },
  go: {
    tool: 'go',
    folder: join(PROGRAMS, 'go'),
    prepare: () => [
      ['go', 'build', '-o', join(WORK, 'go-conformance'), '.'],
      ['go', 'build', '-o', join(WORK, 'go-cluster'), './cluster'],
      ['go', 'build', '-o', join(WORK, 'go-siblings'), './siblings'],
    ],
    programs: ({ address, port }) => [[join(WORK, 'go-conformance'), address, port]],
    cluster: ({ addresses, port, datacenter }, datacenters) => [
      join(WORK, 'go-cluster'),
      addresses,
      port,
      datacenter,
      datacenters,
    ],
    siblings: (...target) => [join(WORK, 'go-siblings'), ...target],
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
    cluster: ({ addresses, port, datacenter }, datacenters) => [
      'java',
      '-cp',
      `target/classes:${join(WORK, 'jars')}/*`,
      'ClusterConformance',
      addresses,
      port,
      datacenter,
      datacenters,
    ],
    siblings: (...target) => [
      'java',
      '-cp',
      `target/classes:${join(WORK, 'jars')}/*`,
      'SiblingsConformance',
      ...target,
    ],
  },
  rust: {
    tool: 'cargo',
    folder: join(PROGRAMS, 'rust'),
    prepare: () => [['cargo', 'build', '-q', '--target-dir', join(WORK, 'rust')]],
    programs: ({ address, port }) => [[join(WORK, 'rust/debug/conformance'), address, port]],
    cluster: ({ addresses, port, datacenter }, datacenters) => [
      join(WORK, 'rust/debug/cluster'),
      addresses,
      port,
      datacenter,
      datacenters,
    ],
  },
}

/** Makes ready what its programs need. Null: they can be run; else what is to be said of it. */
export function prepareLanguage(name: string, language: Language): { line: string; isMissing: boolean } | null {
  if (spawnSync(language.tool, ['--version']).error)
    return { line: `skipped - ${name}: ${language.tool} is not installed`, isMissing: true }
  for (const [command, ...words] of language.prepare()) {
    const { status, stderr, stdout } = spawnSync(command!, words, {
      cwd: language.folder,
      timeout: BUILD_MS,
      encoding: 'utf8',
    })
    if (status !== 0)
      return { line: `not ok - ${name}: ${command} ${words.join(' ')}\n${stdout}${stderr}`, isMissing: false }
  }
  return null
}
