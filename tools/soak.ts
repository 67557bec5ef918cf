/**
 * `npm run soak`: a node under steady writes for minutes, and what a minute's benchmark does not show: pauses, collections, growth.
 *
 *     npm run soak -- [--minutes 10] [--share 0.6] [--keys 1000000]     steady writes at a share of the measured peak, without compaction and with;
 *                     [--rate 20000] [--memtables 64MiB]                at a given rate; with memtables so large
 *     npm run soak -- --gc [--megabytes 256] [--row-bytes 100]          a memtable so full of small rows, then more writes
 *
 * Prints figures and their goals; the exit code is 1 when one is not met. Goals are for a machine that does nothing else: how long the node's main
 * thread waited for a processor is printed too.
 */
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Consistency } from '../lib/types/consistency.ts'
import type { LoadPlan } from './bench/load.ts'
import type { LoadReport } from './bench/load-report.ts'
import { rowsOf, ToolClient } from './support/client.ts'
import { temporaryDirectory } from './support/directory.ts'
import { readOptions } from './support/options.ts'
import { endProcess, type NodeProcess, startProcess } from './support/server.ts'

const LOAD = join(dirname(fileURLToPath(import.meta.url)), 'bench/load.js')
const ADDRESS = '127.0.0.1'
const MIB = 1024 * 1024
const SAMPLE_MS = 1_000
const PRINT_EVERY = 10

const STALL_MS_MAX = 50
const P99_FACTOR_MAX = 3
const COLLECTION_MS_MAX = 20
const HEAP_MB_MAX = 80
/** Bytes on disk in the last third of the time against those in the second. */
const GROWTH_MAX = 1.5

const flags = readOptions('npm run soak', 'a node under steady writes for minutes: pauses, collections, growth', {
  gc: { type: 'boolean', default: false, describe: 'Only a memtable full of small rows, then more writes' },
  minutes: { type: 'number', default: 10, describe: 'How long' },
  rate: { type: 'number', describe: 'Writes a second; default: --share of the measured peak' },
  memtables: { type: 'string', describe: 'Their size, like 64MiB' },
  share: { type: 'number', default: 0.6, describe: 'Of the measured peak' },
  keys: { type: 'number', default: 1_000_000, describe: 'How many there are' },
  'value-bytes': { type: 'number', default: 256, describe: 'Of a row' },
  megabytes: { type: 'number', default: 256, describe: '--gc: of the memtable' },
  'row-bytes': { type: 'number', default: 100, describe: '--gc: of a row' },
})

type Figures = ReadonlyMap<string, number>

/** A node in a process of its own, on an empty directory, with the table that the load writes to. */
class SoakedNode {
  readonly port: number
  readonly #node: NodeProcess
  readonly #client: ToolClient
  readonly #directory: string

  private constructor(node: NodeProcess, client: ToolClient, directory: string) {
    this.#node = node
    this.#client = client
    this.#directory = directory
    this.port = node.port
  }

  static async start(options: readonly string[], compaction: boolean): Promise<SoakedNode> {
    const { path: directory } = temporaryDirectory('soak')
    const node = await startProcess(['--data', directory, ...options])
    const client = await ToolClient.connect(ADDRESS, node.port)
    await client.query("CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    await client.query(
      `CREATE TABLE bench.kv (k bigint PRIMARY KEY, v blob) WITH compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': '${compaction}'}`,
    )
    return new SoakedNode(node, client, directory)
  }

  async figures(): Promise<Figures> {
    const response = await this.#client.query('SELECT name, value FROM system_views.polyxena_metrics')
    return new Map(
      rowsOf(response).map((row) => [row.get('name')!.bytes!.toString(), row.get('value')!.bytes!.readDoubleBE()]),
    )
  }

  async load(plan: Partial<LoadPlan>): Promise<LoadReport> {
    const whole: LoadPlan = {
      addresses: [ADDRESS],
      replicas: 1,
      consistency: Consistency.ONE,
      port: this.port,
      operation: 'insert',
      inFlight: 256,
      connections: 16,
      seconds: 10,
      warmSeconds: 1,
      keys: flags.keys,
      valueBytes: flags['value-bytes'],
      ...plan,
    }
    const { stdout } = await promisify(execFile)(process.execPath, [LOAD, 'run', JSON.stringify(whole)])
    return JSON.parse(stdout) as LoadReport
  }

  /** Seconds that the main thread was ready to run and had no processor; NaN where there is no /proc. */
  get waitedSeconds(): number {
    try {
      const { pid } = this.#node.process
      return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e9
    } catch {
      return Number.NaN
    }
  }

  async stop(): Promise<void> {
    this.#client.close()
    await endProcess(this.#node, 'SIGTERM')
    rmSync(this.#directory, { recursive: true })
  }
}

function line(text: string): void {
  process.stdout.write(`${text}\n`)
}

let missed = 0

function goal(what: string, value: number, unit: string, most: number): void {
  const met = value <= most
  if (!met) missed++
  line(`${met ? 'met   ' : 'MISSED'}  ${what}: ${round(value)} ${unit} (at most ${round(most)})`)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function perSecond(report: LoadReport): number {
  return report.requests / report.seconds
}

interface Watched {
  readonly largest: Figures
  /** Largest bytes on disk in the last third of the time, against the second. */
  readonly growth: number
}

/** Looks at the node each second until the load has ended. */
async function watch(node: SoakedNode, load: Promise<unknown>): Promise<Watched> {
  const largest = new Map<string, number>()
  const diskBytes: number[] = []
  const waitedBefore = node.waitedSeconds
  const beganMs = performance.now()
  let ended = false
  const end = (): void => {
    ended = true
  }
  load.then(end, end)
  for (let second = 1; !ended; second++) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
    const last = await node.figures()
    diskBytes.push(last.get('sstable_bytes')!)
    for (const [name, value] of last) largest.set(name, Math.max(value, largest.get(name) ?? 0))
    if (second % PRINT_EVERY === 0) line(`${String(second).padStart(5)} s  ${describe(last)}`)
  }
  await load
  const waited = (node.waitedSeconds - waitedBefore) / ((performance.now() - beganMs) / 1000)
  line(`        the node's main thread waited for a processor ${round(waited * 100)} % of the time`)
  const third = Math.floor(diskBytes.length / 3)
  return { largest, growth: Math.max(...diskBytes.slice(2 * third)) / Math.max(...diskBytes.slice(third, 2 * third)) }
}

function describe(figures: Figures): string {
  const mib = (name: string): string => `${Math.round(figures.get(name)! / MIB)} MiB`
  const ms = (name: string): string => `${round(figures.get(name)!)} ms`
  return [
    `memtables ${mib('memtable_bytes')}`,
    `heap ${mib('memory_heap_bytes')}`,
    `resident ${mib('memory_resident_bytes')}`,
    `${figures.get('sstables')} SSTables ${mib('sstable_bytes')}`,
    `${figures.get('stalls')} stalls, longest ${ms('stall_longest_ms')}`,
    `longest collection ${ms('garbage_collection_longest_ms')}`,
    `${figures.get('memtable_stalls')} writes delayed`,
  ].join(', ')
}

async function measurePeak(seconds: number): Promise<number> {
  const node = await SoakedNode.start([], true)
  const peak = perSecond(await node.load({ seconds: Math.min(30, seconds), warmSeconds: 10 }))
  await node.stop()
  line(`peak: ${Math.round(peak)} writes/s`)
  return peak
}

async function steady(): Promise<void> {
  const seconds = flags.minutes * 60
  const options = flags.memtables === undefined ? [] : ['--memtable-offheap-space', flags.memtables]
  const rate = flags.rate === undefined ? (await measurePeak(seconds)) * flags.share : flags.rate
  line(`${Math.round(rate)} writes/s, in flight as many as it takes`)
  const paced = { rate, inFlight: 4096, warmSeconds: 10 }

  // A process just started compiles its code as it goes: a few requests at a time until it has.
  const warm = { inFlight: 64, seconds: 10 }
  line('without compaction:')
  const plainNode = await SoakedNode.start(options, false)
  await plainNode.load(warm)
  const plainLoad = plainNode.load({ ...paced, seconds: Math.max(20, seconds / 5) })
  await watch(plainNode, plainLoad)
  const plain = await plainLoad
  await plainNode.stop()

  line('with compaction:')
  const node = await SoakedNode.start(options, true)
  await node.load(warm)
  const load = node.load({ ...paced, seconds })
  const { largest, growth } = await watch(node, load)
  const report = await load
  await node.stop()

  line('')
  for (const [name, { requests, errors, seconds, p50, p99, p999, max }] of [
    ['without', plain],
    ['with   ', report],
  ] as const)
    line(
      `${name} compaction: ${Math.round(requests / seconds)} writes/s, p50 ${round(p50)} ms, p99 ${round(p99)} ms, p99.9 ${round(p999)} ms, longest ${round(max)} ms, ${errors} errors`,
    )
  goal('errors', plain.errors + report.errors, '', 0)
  goal('longest stall of the event loop', largest.get('stall_longest_ms')!, 'ms', STALL_MS_MAX)
  goal('p99 of writes, with compaction : without', report.p99 / plain.p99, '×', P99_FACTOR_MAX)
  goal('bytes on disk, last third : second third of the time', growth, '×', GROWTH_MAX)
}

async function collections(): Promise<void> {
  const bytes = flags.megabytes * MIB
  const rowBytes = flags['row-bytes']
  // So large that it is not flushed before it is as full as it shall be.
  const node = await SoakedNode.start(['--memtable-offheap-space', `${bytes * 4}B`], false)
  let figures = await node.figures()
  while (figures.get('memtable_bytes')! < bytes) {
    await node.load({ valueBytes: rowBytes, keys: 2 ** 31, seconds: 2, warmSeconds: 0 })
    figures = await node.figures()
    line(describe(figures))
  }
  await node.load({ valueBytes: rowBytes, keys: 10_000, seconds: 10 })
  figures = await node.figures()
  line(describe(figures))
  await node.stop()
  line('')
  goal('longest collection of garbage', figures.get('garbage_collection_longest_ms')!, 'ms', COLLECTION_MS_MAX)
  goal("V8's heap", figures.get('memory_heap_bytes')! / MIB, 'MiB', HEAP_MB_MAX)
}

if (flags.gc) await collections()
else await steady()
process.exitCode = missed === 0 ? 0 : 1
