/**
 * `npm run big`: a table larger than memory and a partition of half a gigabyte, in a node of its own; and what it takes to write, read and start with.
 *
 *     npm run big -- [--gigabytes 5] [--partition-megabytes 500] [--data DIR] [--keep] [-- options of the node]
 *
 * Checked: each answer; that the process stays below 600 MB (1 GB while it takes in values of 10 MB); that it starts in 2 s after a clean stop and in 10 s after kill -9. Ends with 1 otherwise.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHistogram } from 'node:perf_hooks'
import { Consistency } from '../lib/types/consistency.ts'
import { plainParameters } from '../protocol/requests.ts'
import type { Response } from '../protocol/responses.ts'
import { rowsOf, ToolClient, VERSION } from './support/client.ts'
import { readOptions } from './support/options.ts'
import { endProcess, type NodeProcess, processUsage, startProcess } from './support/server.ts'

const MB = 1e6
const MEMORY_MAX = 600 * MB
const START_CLEAN_MS = 2_000
const START_KILLED_MS = 10_000
const ROW_BYTES = 1_000
const LARGE_BYTES = 10 * MB
const LARGE_COUNT = 20
/** Each is copied from the socket, into the log and into the memtable, and V8 gives such memory back late. */
const MEMORY_LARGE_MAX = 1_000 * MB
const IN_FLIGHT = 256
const READS = 20_000
const SLICES = 2_000
const SLICE_ROWS = 100
const PAGE_ROWS = 5_000

const flags = readOptions(
  'npm run big',
  "a table larger than memory and a partition of half a gigabyte, in a node of its own; options after a second -- are the node's",
  {
    gigabytes: { type: 'number', default: 5, describe: 'Of the table' },
    'partition-megabytes': { type: 'number', default: 500, describe: 'Of the partition' },
    data: { type: 'string', describe: 'Where; default: a temporary directory' },
    keep: { type: 'boolean', default: false, describe: 'Leave the data there' },
  },
)
const rowCount = Math.floor((flags.gigabytes * 1e9) / ROW_BYTES)
const wideCount = Math.floor((flags['partition-megabytes'] * MB) / ROW_BYTES)
const directory = flags.data ?? mkdtempSync(join(tmpdir(), 'polyxena-big-'))

const failures: string[] = []
let rssMax = 0
let node: NodeProcess = await start()
let client = await ToolClient.connect('127.0.0.1', node.port)
const prepared = new Map<string, Promise<string>>()

const watch = setInterval(() => {
  const { rssBytes } = processUsage(node.process.pid)
  if (rssBytes > rssMax) rssMax = rssBytes
}, 200)

function start(): Promise<NodeProcess> {
  return startProcess(['--data', directory, ...flags._.map(String)])
}

/** Half of it is noise, so that it compresses to about a half; all of it follows from the key. */
function valueFor(key: number, bytes: number): Buffer {
  const value = Buffer.alloc(bytes)
  let state = (key * 2_654_435_761 + 12_345) >>> 0
  for (let at = 0; at + 4 <= bytes / 2; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    value.writeUInt32BE(state, at)
  }
  return value
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}

/** Prepares the text once for each connection. */
async function execute(
  text: string,
  values: readonly Buffer[],
  page?: { size: number; state: Buffer | null },
): Promise<Response> {
  const parameters = { ...plainParameters(VERSION, Consistency.ONE), values }
  const paged = page ? { ...parameters, pageSize: page.size, pagingState: page.state } : parameters
  let preparing = prepared.get(text)
  if (preparing === undefined) {
    preparing = client.prepare(text)
    prepared.set(text, preparing)
  }
  const id = await preparing
  return client.request({ kind: 'execute', id, resultMetadataId: null, parameters: paged })
}

/** Runs `each` for 0 … count - 1, so many at once. */
async function many(count: number, inFlight: number, each: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await each(next++)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
}

/** Times the work, and says what memory the process had at most. */
async function phase(name: string, work: () => Promise<string>, memoryMax = MEMORY_MAX): Promise<void> {
  rssMax = 0
  const began = performance.now()
  const told = await work()
  const seconds = (performance.now() - began) / 1000
  const { rssBytes } = processUsage(node.process.pid)
  rssMax = Math.max(rssMax, Number.isNaN(rssBytes) ? 0 : rssBytes)
  process.stdout.write(`${name}: ${told}; ${seconds.toFixed(1)} s, memory at most ${Math.round(rssMax / MB)} MB\n`)
  if (rssMax > memoryMax) failures.push(`${name}: ${Math.round(rssMax / MB)} MB of memory`)
}

function check(isRight: boolean, what: string): void {
  if (!isRight && failures.length < 20) failures.push(what)
}

/** A number below `below` that looks random and follows from i. */
function scattered(i: number, below: number): number {
  return Number((BigInt(i) * 11_400_714_819_323n + 7n) % BigInt(below))
}

async function fill(text: string, count: number, values: (i: number) => Buffer[]): Promise<string> {
  const began = performance.now()
  await many(count, IN_FLIGHT, async (i) => {
    await execute(text, values(i))
  })
  return `${count} rows, ${Math.round(count / ((performance.now() - began) / 1000))}/s`
}

async function timed(count: number, inFlight: number, each: (i: number) => Promise<void>): Promise<string> {
  const histogram = createHistogram()
  const began = performance.now()
  await many(count, inFlight, async (i) => {
    const start = performance.now()
    await each(i)
    histogram.record(Math.max(1, Math.round((performance.now() - start) * 1000)))
  })
  const rate = Math.round(count / ((performance.now() - began) / 1000))
  const ms = (percentile: number): string => (histogram.percentile(percentile) / 1000).toFixed(2)
  return `${count} with ${inFlight} in flight, ${rate}/s, p50 ${ms(50)} ms, p99 ${ms(99)} ms`
}

async function scan(text: string, first: readonly Buffer[], expected: number): Promise<string> {
  let rows = 0
  let state: Buffer | null = null
  const began = performance.now()
  do {
    const response: Response = await execute(text, first, { size: PAGE_ROWS, state })
    if (response.kind !== 'rows') throw new Error(`a scan was answered ${response.kind}`)
    rows += response.rowCount
    state = response.metadata.pagingState ?? null
  } while (state !== null)
  check(rows === expected, `a scan gave ${rows} rows, not ${expected}`)
  return `${rows} rows, ${Math.round(rows / ((performance.now() - began) / 1000))}/s`
}

async function readAll(): Promise<void> {
  const byKey = 'SELECT v FROM big.rows WHERE k = ?'
  const read = async (i: number): Promise<void> => {
    const key = scattered(i, rowCount)
    const value = rowsOf(await execute(byKey, [int64(key)]))[0]?.get('v')?.bytes
    check(value?.equals(valueFor(key, ROW_BYTES)) ?? false, `row ${key} is wrong`)
  }
  await phase('random reads, one by one', () => timed(READS / 10, 1, read))
  await phase('random reads', () => timed(READS, 32, (i) => read(i + READS)))
  const absent = async (i: number): Promise<void> => {
    const { length } = rowsOf(await execute(byKey, [int64(rowCount + i)]))
    check(length === 0, 'a row that nobody wrote')
  }
  await phase('reads of absent keys', () => timed(READS, 32, absent))
  const wideRow = 'SELECT v FROM big.wide WHERE k = 1 AND c = ?'
  await phase('rows of the wide partition', () =>
    timed(READS / 2, 32, async (i) => {
      const c = scattered(i, wideCount)
      const value = rowsOf(await execute(wideRow, [int64(c)]))[0]?.get('v')?.bytes
      check(value?.equals(valueFor(c, ROW_BYTES)) ?? false, `row ${c} of the wide partition is wrong`)
    }),
  )
  for (const [name, order, step] of [
    ['slices of the wide partition', '', 1],
    ['slices backwards', ' ORDER BY c DESC', -1],
  ] as const) {
    const relation = step > 0 ? '>=' : '<='
    const slice = `SELECT c FROM big.wide WHERE k = 1 AND c ${relation} ?${order} LIMIT ${SLICE_ROWS}`
    await phase(name, () =>
      timed(SLICES, 8, async (i) => {
        const from = SLICE_ROWS + scattered(i, wideCount - 2 * SLICE_ROWS)
        const rows = rowsOf(await execute(slice, [int64(from)]))
        const last = Number(rows.at(-1)?.get('c')?.bytes?.readBigInt64BE())
        check(rows.length === SLICE_ROWS && last === from + step * (SLICE_ROWS - 1), `a slice from ${from} is wrong`)
      }),
    )
  }
  await phase('scan of the table', () => scan('SELECT k FROM big.rows', [], rowCount))
  await phase('scan of the wide partition', () => scan('SELECT c FROM big.wide WHERE k = 1', [], wideCount))
}

async function restart(signal: 'SIGTERM' | 'SIGKILL', most: number): Promise<void> {
  client.close()
  const began = performance.now()
  await endProcess(node, signal)
  const ended = performance.now() - began
  node = await start()
  prepared.clear()
  client = await ToolClient.connect('127.0.0.1', node.port)
  const told = `${signal}: ended after ${Math.round(ended)} ms, started in ${Math.round(node.startMs)} ms`
  process.stdout.write(`${told}\n`)
  if (node.startMs > most) failures.push(told)
}

try {
  await client.query("CREATE KEYSPACE big WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await client.query('CREATE TABLE big.rows (k bigint PRIMARY KEY, v blob)')
  await client.query('CREATE TABLE big.wide (k int, c bigint, v blob, PRIMARY KEY (k, c))')
  await client.query('CREATE TABLE big.large (k bigint PRIMARY KEY, v blob)')
  await phase('write the table', () =>
    fill('INSERT INTO big.rows (k, v) VALUES (?, ?)', rowCount, (k) => [int64(k), valueFor(k, ROW_BYTES)]),
  )
  await phase('write the wide partition', () =>
    fill('INSERT INTO big.wide (k, c, v) VALUES (1, ?, ?)', wideCount, (c) => [int64(c), valueFor(c, ROW_BYTES)]),
  )
  await restart('SIGKILL', START_KILLED_MS)
  await readAll()
  const insert = 'INSERT INTO big.large (k, v) VALUES (?, ?)'
  const select = 'SELECT v FROM big.large WHERE k = ?'
  const readLarge = async (k: number): Promise<void> => {
    const value = rowsOf(await execute(select, [int64(k)]))[0]?.get('v')?.bytes
    check(value?.equals(valueFor(k, LARGE_BYTES)) ?? false, `value ${k} of 10 MB is wrong`)
  }
  await phase(
    'values of 10 MB, written and read',
    async () => {
      for (let k = 0; k < LARGE_COUNT; k++) await execute(insert, [int64(k), valueFor(k, LARGE_BYTES)])
      for (let k = 0; k < LARGE_COUNT; k++) await readLarge(k)
      return String(LARGE_COUNT)
    },
    MEMORY_LARGE_MAX,
  )
  await restart('SIGTERM', START_CLEAN_MS)
  await phase('values of 10 MB, from SSTables', async () => {
    for (let k = 0; k < LARGE_COUNT; k++) await readLarge(k)
    return String(LARGE_COUNT)
  })
  await restart('SIGTERM', START_CLEAN_MS)
  for (const row of rowsOf(
    await client.query(
      "SELECT sstables, disk_bytes, filter_bytes, index_bytes FROM system_views.polyxena_tables WHERE keyspace_name = 'big' AND table_name = 'rows'",
    ),
  )) {
    const number = (name: string): number => {
      const bytes = row.get(name)?.bytes
      return bytes ? Number(bytes.length === 4 ? bytes.readInt32BE() : bytes.readBigInt64BE()) : 0
    }
    process.stdout.write(
      `${number('sstables')} SSTables of ${Math.round(number('disk_bytes') / MB)} MB, filters ${(number('filter_bytes') / MB).toFixed(1)} MB, index roots ${(number('index_bytes') / MB).toFixed(1)} MB\n`,
    )
  }
} finally {
  clearInterval(watch)
  client.close()
  await endProcess(node, 'SIGTERM')
  if (!flags.keep && !flags.data) rmSync(directory, { recursive: true, force: true })
  else process.stdout.write(`the data is in ${directory}\n`)
}
for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`)
process.exitCode = failures.length > 0 ? 1 : 0
