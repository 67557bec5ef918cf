/**
 * `npm run fuzz`: broken frames and mutated statements against a node, while another connection asks it the time of day. It must answer or
 * close, never crash, never stand still, and give back the memory.
 *
 *     npm run fuzz -- [--frames 200000] [--texts 100000] [--seed N]
 *     npm run fuzz -- --http 10000 [--seed N]                          requests over HTTP instead (http-fuzz.ts)
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Random } from '../lib/runtime/runtime.ts'
import { createSeededRandom } from '../lib/runtime/simulated/random.ts'
import { fuzzHttp } from './http-fuzz.ts'
import { ToolClient } from './support/client.ts'
import { readOptions, seedOr } from './support/options.ts'
import { endProcess, freePort, listening, type NodeProcess, processUsage, startProcess } from './support/server.ts'

const flags = readOptions(
  'npm run fuzz',
  'broken frames and mutated statements, or with --http requests, against a node that goes on to serve another connection',
  {
    frames: { type: 'number', default: 200_000, describe: 'Broken frames' },
    texts: { type: 'number', default: 100_000, describe: 'Mutated statements' },
    seed: { type: 'number', describe: 'Replays a run' },
    http: { type: 'number', describe: 'So many HTTP requests instead' },
  },
)
const SEED = seedOr(flags.seed)
const GOLDEN = join(dirname(fileURLToPath(import.meta.url)), '../../test/golden/frames')
const STALL_MS_MAX = 50
const GROWTH_BYTES_MAX = 64 * 1024 ** 2
const ANSWER_MS_MAX = 1_000
/** Few, for most connections end with the first frame that cannot be understood. */
const FRAMES_A_CONNECTION = 3

const STATEMENTS = [
  'SELECT * FROM f.t WHERE k = 1 AND c > 3 AND c <= 10 ORDER BY c DESC LIMIT 5 ALLOW FILTERING',
  "INSERT INTO f.t (k, c, v, m) VALUES (1, 2, 'text''s', {'a': 1, 'b': 2}) USING TTL 1000 AND TIMESTAMP 12345",
  "UPDATE f.t USING TIMESTAMP 5 SET v = 'x', m['k'] = 3, l = l + [1, 2], st = {1, 2} WHERE k IN (1, 2) AND c = 4 IF v = 'a'",
  'DELETE v, m[?] FROM f.t WHERE k = :k AND (c, d) >= (1, 2)',
  "BEGIN UNLOGGED BATCH INSERT INTO f.t (k, c) VALUES (1, 1); UPDATE f.t SET v = 'b' WHERE k = 1 AND c = 2; APPLY BATCH",
  "CREATE TABLE f.u (a int, b text STATIC, c frozen<map<text, frozen<list<int>>>>, PRIMARY KEY ((a, b), c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'x' AND compaction = {'class': 'LeveledCompactionStrategy'}",
  'ALTER TABLE f.t ADD (x int, y set<uuid>)',
  "CREATE KEYSPACE g WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
  'SELECT count(*), cast(v AS text), token(k), writetime(v), toTimestamp(now()), (int) 5 + 3 * c AS total FROM f.t GROUP BY k PER PARTITION LIMIT 3',
  "SELECT JSON k, c FROM f.t WHERE token(k) > -9223372036854775808 AND v CONTAINS 'x'",
  'DESCRIBE KEYSPACE f',
  'SELECT f47ac10b-58cc-4372-a567-0e02b2c3d479, 0xcafe, 1y2mo3d, NaN, -1.5e10, $$text$$ FROM f.t',
  'CREATE TYPE f.a (x int, y frozen<tuple<int, text>>)',
  'GRANT SELECT ON KEYSPACE f TO somebody',
  'SELECT * FROM system.local',
]

const random = createSeededRandom(SEED)
const pick = <T>(list: readonly T[], from: Random = random): T => list[Math.floor(from.float() * list.length)]!
const below = (limit: number): number => Math.floor(random.float() * limit)

function loadFrames(): Buffer[] {
  const frames: Buffer[] = []
  for (const name of readdirSync(GOLDEN)) {
    if (!name.endsWith('.json')) continue
    const { messages } = JSON.parse(readFileSync(join(GOLDEN, name), 'utf8')) as {
      messages: { from: string; wire?: string }[]
    }
    for (const { from, wire } of messages) if (from === 'client' && wire) frames.push(Buffer.from(wire, 'hex'))
  }
  return frames
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]

function mutateBytes(bytes: Buffer): Buffer {
  const mutated = Buffer.from(bytes)
  for (let times = 1 + below(4); times > 0; times--) {
    const at = below(Math.max(1, mutated.length - 4))
    switch (below(5)) {
      case 0:
        mutated[at] = below(256)
        break
      case 1:
        mutated[at] = (mutated[at] ?? 0) ^ (1 << below(8))
        break
      case 2:
        if (mutated.length >= at + 4) mutated.writeUInt32BE(pick(EXTREMES), at)
        break
      case 3:
        if (mutated.length >= at + 2) mutated.writeUInt16BE(pick(EXTREMES) & 0xffff, at)
        break
      default:
        return mutated.subarray(0, below(mutated.length + 1))
    }
  }
  return mutated
}

function brokenFrame(frames: readonly Buffer[]): Buffer {
  const kind = random.float()
  if (kind < 0.15) return random.fill(Buffer.alloc(below(300)))
  if (kind < 0.25) {
    const header = Buffer.from([3 + below(3), below(256), below(256), below(256), below(20), 0, 0, 0, 0])
    header.writeUInt32BE(pick(EXTREMES), 5)
    return Buffer.concat([header, random.fill(Buffer.alloc(below(200)))])
  }
  return mutateBytes(pick(frames))
}

function mutateText(text: string): string {
  let mutated = text
  for (let times = 1 + below(4); times > 0; times--) {
    const at = below(mutated.length)
    const to = at + below(12)
    switch (below(6)) {
      case 0:
        mutated = mutated.slice(0, at) + mutated.slice(to)
        break
      case 1:
        mutated = mutated.slice(0, at) + String.fromCharCode(below(0x250)) + mutated.slice(at)
        break
      case 2:
        mutated = mutated.slice(0, at) + mutated.slice(at, to).repeat(1 + below(30)) + mutated.slice(to)
        break
      case 3: {
        const other = pick(STATEMENTS)
        const from = below(other.length)
        mutated = mutated.slice(0, at) + other.slice(from, from + below(20)) + mutated.slice(to)
        break
      }
      case 4:
        mutated =
          mutated.slice(0, at) +
          pick(["'", '"', '$$', '/*', '--', '(', ')', '{', '[', '?', ':', ';', '\0', '0x', '9'.repeat(400)]) +
          mutated.slice(at)
        break
      default:
        mutated =
          mutated.slice(0, at) +
          pick(['(', '[', '{', 'frozen<', '-', 'a.'], random).repeat(below(300)) +
          mutated.slice(at)
    }
  }
  return mutated
}

/** Asks OPTIONS all the time on a connection of its own; the longest wait is the node's longest stall as a client sees it. */
function watch(port: number): { worst: () => number; stop: () => void } {
  let worst = 0
  let running = true
  const loop = async (): Promise<void> => {
    const client = await ToolClient.connect('127.0.0.1', port)
    while (running) {
      const before = performance.now()
      await client.request({ kind: 'options' })
      worst = Math.max(worst, performance.now() - before)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    client.close()
  }
  loop().catch(() => {
    worst = Number.POSITIVE_INFINITY
  })
  return {
    worst: () => worst,
    stop() {
      running = false
    },
  }
}

const STARTUP: Record<number, Buffer> = Object.fromEntries(
  [3, 4, 5].map((version) => [
    version,
    Buffer.from(`0${version}0000000100000016000100${'0b'}43514c5f56455253494f4e0005332e302e30`, 'hex'),
  ]),
)

/** Sends some broken frames on a connection and waits until the node has answered or closed, or has nothing to say. */
function attack(port: number, frames: readonly Buffer[], count: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true })
    const end = (): void => {
      clearTimeout(late)
      socket.destroy()
      resolve()
    }
    const late = setTimeout(end, ANSWER_MS_MAX / 20)
    socket.on('error', end)
    socket.on('close', end)
    socket.on('data', () => {})
    if (random.float() < 0.7) socket.write(STARTUP[3 + below(3)]!)
    for (let i = 0; i < count; i++) socket.write(brokenFrame(frames))
    socket.end()
  })
}

async function fuzzFrames(port: number, count: number): Promise<void> {
  const frames = loadFrames()
  for (let sent = 0; sent < count; ) {
    const wave = Array.from({ length: 32 }, () => attack(port, frames, FRAMES_A_CONNECTION))
    await Promise.all(wave)
    sent += wave.length * FRAMES_A_CONNECTION
  }
}

async function fuzzTexts(port: number, count: number): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>()
  const clients = await Promise.all(Array.from({ length: 8 }, () => ToolClient.connect('127.0.0.1', port)))
  let left = count
  const work = async (client: ToolClient): Promise<void> => {
    while (left-- > 0) {
      const text = mutateText(pick(STATEMENTS))
      const outcome = await client.query(text).then(
        (response) => response.kind,
        (error: { code?: string }) => error.code ?? 'broken connection',
      )
      if (outcome === 'SERVER_ERROR') process.stdout.write(`SERVER_ERROR: ${JSON.stringify(text)}\n`)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
  }
  await Promise.all(clients.map(work))
  for (const client of clients) client.close()
  return outcomes
}

async function run(node: NodeProcess): Promise<string[]> {
  const problems: string[] = []
  const setUp = await ToolClient.connect('127.0.0.1', node.port)
  await setUp.query("CREATE KEYSPACE f WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
  await setUp.query(
    'CREATE TABLE f.t (k int, c int, d int, v text, m map<text, int>, l list<int>, st set<int>, PRIMARY KEY (k, c, d))',
  )
  setUp.close()
  await fuzzFrames(node.port, 2_000)
  await fuzzTexts(node.port, 2_000)
  const before = processUsage(node.process.pid).rssBytes
  const watcher = watch(node.port)
  const began = performance.now()
  await fuzzFrames(node.port, flags.frames)
  const between = performance.now()
  process.stdout.write(
    `${flags.frames} frames in ${((between - began) / 1000).toFixed(1)} s, longest wait ${watcher.worst().toFixed(0)} ms\n`,
  )
  const outcomes = await fuzzTexts(node.port, flags.texts)
  process.stdout.write(
    `${flags.texts} texts in ${((performance.now() - between) / 1000).toFixed(1)} s: ${[...outcomes].map(([name, times]) => `${times} ${name}`).join(', ')}\n`,
  )
  watcher.stop()
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  const growth = processUsage(node.process.pid).rssBytes - before
  process.stdout.write(
    `longest wait ${watcher.worst().toFixed(0)} ms, memory grew by ${(growth / 1024 ** 2).toFixed(0)} MiB\n`,
  )
  if (node.process.exitCode !== null) problems.push('the node ended')
  if (outcomes.has('SERVER_ERROR')) problems.push(`${outcomes.get('SERVER_ERROR')} internal errors`)
  if (outcomes.has('broken connection')) problems.push('connections broke')
  if (watcher.worst() > STALL_MS_MAX) problems.push(`a client waited ${watcher.worst().toFixed(0)} ms`)
  if (growth > GROWTH_BYTES_MAX) problems.push('memory was not given back')
  const client = await ToolClient.connect('127.0.0.1', node.port)
  await client.query('SELECT * FROM system.local')
  client.close()
  return problems
}

/** Small enough that there are many beyond it. */
const HTTP_VALUE_BYTES_MAX = 1024 ** 2
const HTTP_WARM_REQUESTS = 2_000

async function runHttp(node: NodeProcess, port: number, requests: number): Promise<string[]> {
  const address = '127.0.0.1'
  const place = { address, port, valueBytesMax: HTTP_VALUE_BYTES_MAX, stalls: false }
  await listening(port)
  const warm = await fuzzHttp(place, random.stream('warm'), HTTP_WARM_REQUESTS)
  const before = processUsage(node.process.pid).rssBytes
  const watcher = watch(node.port)
  const began = performance.now()
  const report = await fuzzHttp(place, random.stream('http'), requests, 16)
  // Those that stand still take as long as the node waits for them.
  const slow = await fuzzHttp({ ...place, stalls: true }, random.stream('slow'), 400, 32)
  const seconds = (performance.now() - began) / 1_000
  watcher.stop()
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  const growth = processUsage(node.process.pid).rssBytes - before
  const told = <T>(counts: ReadonlyMap<T, number>): string =>
    [...counts]
      .sort(([, a], [, b]) => b - a)
      .map(([name, times]) => `${times} ${String(name)}`)
      .join(', ')
  process.stdout.write(
    `${report.requests + slow.requests} requests in ${seconds.toFixed(1)} s: ${told(report.kinds)}\nanswers: ${told(report.statuses)}\n` +
      `longest wait of another client ${watcher.worst().toFixed(0)} ms, memory grew by ${(growth / 1024 ** 2).toFixed(0)} MiB\n`,
  )
  const problems = [...warm.problems, ...report.problems, ...slow.problems]
  if (node.process.exitCode !== null) problems.push('the node ended')
  if (growth > GROWTH_BYTES_MAX) problems.push('memory was not given back')
  return problems
}

process.stdout.write(`SEED=${SEED}\n`)
const httpPort = await freePort()
const directory = mkdtempSync(join(tmpdir(), 'polyxena-fuzz-'))
// What is written over HTTP goes to disk soon, and caches are small: they are not the memory that is looked at.
const httpOptions = {
  data: directory,
  'commitlog-sync': 'periodic',
  'memtable-offheap-space': '16MiB',
  'file-cache-size': '8MiB',
  'key-cache-size': '4MiB',
  'http-port': String(httpPort),
  'http-value-size-max': `${HTTP_VALUE_BYTES_MAX}B`,
}
const node = await startProcess(
  flags.http === undefined ? ['--memory'] : Object.entries(httpOptions).map(([name, value]) => `--${name}=${value}`),
)
const running = flags.http === undefined ? run(node) : runHttp(node, httpPort, flags.http)
const problems = await running.catch((error: Error) => [`the run broke off: ${error.stack}`])
const ended = await endProcess(node, 'SIGTERM')
rmSync(directory, { recursive: true, force: true })
if (ended !== 0) problems.push(`the node ended with ${ended}`)
for (const problem of problems) process.stdout.write(`problem: ${problem}\n`)
process.stdout.write(`${problems.length === 0 ? 1 : 0} passed, ${problems.length} failed\n`)
process.exit(problems.length === 0 ? 0 : 1)
