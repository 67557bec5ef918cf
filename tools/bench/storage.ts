/**
 * `npm run bench -- --storage`: the storage engine in process beside LevelDB, and RocksDB where its package can be loaded: the same rows, budgets and
 * operations, one engine after the other in one run, as a table with the ratios.
 *
 *     npm run bench -- --storage [--count 2000000] [--value 200] [--batch 100] [--memtable 64] [--cache 64] [--seconds 5]
 *         [--engines polyxena,leveldb] [--only random] [--directory /a/disk]
 *
 * Memtable and cache are in MiB. Figures are of this machine and this run: trust the ratios.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readOptions } from '../support/options.ts'
import { ENGINES, type EngineName, hasRocks } from './storage-engines.ts'
import type { PhaseReport, StoragePlan } from './storage-load.ts'

const LOAD = join(dirname(fileURLToPath(import.meta.url)), 'storage-load.js')
const MIB = 1024 * 1024

export async function benchStorage(argv: readonly string[]): Promise<void> {
  const flags = readOptions(
    'npm run bench -- --storage',
    'the storage engine in process beside others',
    {
      storage: { type: 'boolean', describe: 'This bench' },
      count: { type: 'number', default: 2_000_000, describe: 'Rows' },
      value: { type: 'number', default: 200, describe: 'Bytes of a value' },
      batch: { type: 'number', default: 100, describe: 'Rows written at once' },
      memtable: { type: 'number', default: 64, describe: 'MiB' },
      cache: { type: 'number', default: 64, describe: 'MiB' },
      seconds: { type: 'number', default: 5, describe: 'Of each phase of reads' },
      engines: { type: 'string', describe: 'Like polyxena,leveldb' },
      only: { type: 'string', describe: 'One phase' },
      directory: { type: 'string', default: tmpdir(), describe: 'On which disk' },
    },
    argv,
  )
  const engines = (flags.engines?.split(',') ??
    ENGINES.filter((name) => name !== 'rocksdb' || hasRocks())) as EngineName[]
  for (const engine of engines)
    if (!ENGINES.includes(engine)) throw new Error(`no engine ${engine}: ${ENGINES.join(', ')}`)
  const plan = {
    count: flags.count,
    valueBytes: flags.value,
    batch: flags.batch,
    memtableBytes: flags.memtable * MIB,
    cacheBytes: flags.cache * MIB,
    seconds: flags.seconds,
    only: flags.only ?? null,
  }
  const results = new Map<EngineName, PhaseReport[]>()
  for (const engine of engines) {
    const directory = mkdtempSync(join(flags.directory, 'polyxena-bench-'))
    try {
      results.set(engine, await run({ ...plan, engine, directory }))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  process.stdout.write(
    `${cpus().length} cores, Node ${process.version}, ${plan.count} rows of ${plan.valueBytes} bytes, ` +
      `memtable ${flags.memtable} MiB, cache ${flags.cache} MiB\n\n${table(results)}\n`,
  )
}

async function run(plan: StoragePlan): Promise<PhaseReport[]> {
  const child = spawn(process.execPath, [LOAD, JSON.stringify(plan)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const reports: PhaseReport[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as PhaseReport
    reports.push(report)
    process.stderr.write(`${plan.engine}: ${report.phase} ${perSecond(report)} rows/s\n`)
  }
  const code = child.exitCode ?? (await new Promise((resolve) => child.once('close', resolve)))
  if (code !== 0) throw new Error(`${plan.engine} failed`)
  return reports
}

function perSecond({ rows, seconds }: PhaseReport): number {
  return Math.round(rows / seconds)
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function table(results: ReadonlyMap<EngineName, readonly PhaseReport[]>): string {
  const head = [
    'phase',
    'engine',
    'rows/s',
    'ours : it',
    'p50 µs',
    'p99 µs',
    'max ms',
    'CPU µs/row',
    'loop stall ms',
    'RSS MiB',
    'written ×',
    'on disk ×',
    'rests after s',
  ]
  const lines = [row(head), row(head.map(() => '---'))]
  const phases = [...new Set([...results.values()].flatMap((reports) => reports.map(({ phase }) => phase)))]
  const number = (value: number | null, digits: number): string => (value === null ? '' : value.toFixed(digits))
  for (const phase of phases) {
    const ours = results.get('polyxena')?.find((report) => report.phase === phase)
    for (const [engine, reports] of results) {
      const report = reports.find((one) => one.phase === phase)
      if (!report) continue
      lines.push(
        row([
          phase,
          engine,
          String(perSecond(report)),
          ours && engine !== 'polyxena' ? `${(perSecond(ours) / perSecond(report)).toFixed(2)}×` : '',
          number(report.p50, 0),
          number(report.p99, 0),
          number(report.max / 1000, 1),
          number((report.cpuSeconds / report.rows) * 1e6, 2),
          number(report.loopStallMs, 0),
          number(report.rssBytes / MIB, 0),
          number(report.writeAmplification, 2),
          number(report.spaceAmplification, 2),
          number(report.quietSeconds, 1),
        ]),
      )
    }
  }
  return lines.join('\n')
}
