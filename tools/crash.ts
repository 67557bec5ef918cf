/**
 * `npm run crash`: a node under load is killed with SIGKILL at a random moment, started again, and asked for every write it had
 * acknowledged; again and again on the same data.
 *
 *     npm run crash -- [--cycles 50] [--seed N] [--sync group|batch|periodic] [--versions]
 *
 * Each key has one writer, which knows the last write that was acknowledged and the one that was under way: one of the two must be found. With --versions
 * the table keeps concurrent versions, and each write hands back what its writer has seen: never more than one version may be found.
 */
import { ByteReader } from '../lib/base/bytes.ts'
import { createSeededRandom } from '../lib/runtime/simulated/random.ts'
import { Consistency } from '../lib/types/consistency.ts'
import { plainParameters } from '../protocol/requests.ts'
import { ToolClient, VERSION } from './support/client.ts'
import { temporaryDirectory } from './support/directory.ts'
import { readOptions, seedOr } from './support/options.ts'
import { endProcess, type NodeProcess, startProcess } from './support/server.ts'

const flags = readOptions(
  'npm run crash',
  'a node under load is killed, started again, and asked for every write that it had acknowledged',
  {
    cycles: { type: 'number', default: 50, describe: 'How often' },
    seed: { type: 'number', describe: 'Replays a run' },
    sync: { choices: ['group', 'batch', 'periodic'] as const, default: 'group', describe: 'commitlog_sync' },
    versions: { type: 'boolean', default: false, describe: 'On a table that keeps concurrent versions' },
  },
)
const SEED = seedOr(flags.seed)
const CYCLES = flags.cycles
const WRITERS = 64
const KEYS_A_WRITER = 40
const LOAD_MS_MAX = 1_200
const random = createSeededRandom(SEED)
const directory = temporaryDirectory('crash')
// What was not foreseen is worth a look too.
process.once('uncaughtExceptionMonitor', directory.keep)
/** A memtable so small that flushes happen under the knife too. */
const OPTIONS = [
  '--data',
  directory.path,
  '--commitlog-sync',
  flags.sync,
  '--memtable-offheap-space',
  '1MiB',
  '--commitlog-segment-size',
  '1MiB',
]

/** Null: deleted or never written. */
type Value = number | null
interface Expectation {
  acknowledged: Value
  /** Sent, fate unknown. */
  pending: { value: Value } | null
  /** Of a table that keeps versions: what the writer has seen. */
  seen: Buffer | null
}

const expected: Expectation[] = Array.from({ length: WRITERS * KEYS_A_WRITER }, () => ({
  acknowledged: null,
  pending: null,
  seen: null,
}))
let acknowledgedWrites = 0
let sequence = 0

const text = (value: string): Buffer => Buffer.from(value)
const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const PAYLOAD = 'x'.repeat(200)

async function execute(
  client: ToolClient,
  id: string,
  values: (Buffer | null)[],
): Promise<Awaited<ReturnType<ToolClient['request']>>> {
  return client.request({
    kind: 'execute',
    id,
    resultMetadataId: null,
    parameters: { ...plainParameters(VERSION, Consistency.ONE), values },
  })
}

const IS_OF_VERSIONS = flags.versions
const USING = IS_OF_VERSIONS ? ' USING VCLOCK ?' : ''
const SELECT = `SELECT v, payload${IS_OF_VERSIONS ? ', vclock(*)' : ''} FROM crash.t WHERE k = ?`

interface Found {
  readonly value: Value
  readonly payload: string
  readonly vclock: Buffer | null
  readonly versions: number
}

/** The first of a key's rows. */
async function find(client: ToolClient, get: string, key: number): Promise<Found> {
  const response = await execute(client, get, [text(`k${key}`)])
  if (response.kind !== 'rows') throw new Error(`SELECT answered ${response.kind}`)
  const { rowCount: versions, rowBytes } = response
  if (versions === 0) return { value: null, payload: '', vclock: null, versions }
  const reader = new ByteReader(rowBytes)
  const next = (): Buffer => Buffer.from(reader.view(reader.int32()))
  const value = next().readInt32BE()
  return { value, payload: next().toString(), vclock: IS_OF_VERSIONS ? next() : null, versions }
}

/** Writes until the connection breaks, if the node lives long enough to take it. */
async function write(port: number, writer: number): Promise<void> {
  let client: ToolClient | null = null
  try {
    client = await ToolClient.connect('127.0.0.1', port)
    const put = await client.prepare(`INSERT INTO crash.t (k, v, payload) VALUES (?, ?, ?)${USING}`)
    const remove = await client.prepare(`DELETE FROM crash.t${USING} WHERE k = ?`)
    const get = await client.prepare(SELECT)
    for (;;) {
      const key = writer * KEYS_A_WRITER + Math.floor(random.float() * KEYS_A_WRITER)
      const expectation = expected[key]!
      const value = random.float() < 0.15 ? null : ++sequence
      const seen = IS_OF_VERSIONS ? [expectation.seen] : []
      expectation.pending = { value }
      if (value === null) await execute(client, remove, [...seen, text(`k${key}`)])
      else await execute(client, put, [text(`k${key}`), int(value), text(`${value}${PAYLOAD}`), ...seen])
      expectation.acknowledged = value
      expectation.pending = null
      acknowledgedWrites++
      if (IS_OF_VERSIONS) expectation.seen = (await find(client, get, key)).vclock
    }
  } catch {
    client?.close()
  }
}

async function check(port: number): Promise<string[]> {
  const client = await ToolClient.connect('127.0.0.1', port)
  const problems: string[] = []
  const get = await client.prepare(SELECT)
  for (let key = 0; key < expected.length; key++) {
    const { value: found, payload, vclock, versions } = await find(client, get, key)
    const expectation = expected[key]!
    const right =
      found === expectation.acknowledged || (expectation.pending !== null && found === expectation.pending.value)
    if (!right)
      problems.push(
        `k${key}: found ${found}, acknowledged ${expectation.acknowledged}, under way ${expectation.pending?.value ?? 'nothing'}`,
      )
    if (found !== null && payload !== `${found}${PAYLOAD}`) problems.push(`k${key}: its payload is damaged`)
    if (versions > 1) problems.push(`k${key}: ${versions} versions, and one writer`)
    expectation.acknowledged = found
    expectation.pending = null
    expectation.seen = vclock
  }
  client.close()
  return problems
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function cycle(node: NodeProcess, fresh: boolean): Promise<string[]> {
  if (fresh) {
    const client = await ToolClient.connect('127.0.0.1', node.port)
    await client.query("CREATE KEYSPACE crash WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    await client.query(
      `CREATE TABLE crash.t (k text PRIMARY KEY, v int, payload text)${IS_OF_VERSIONS ? " WITH resolution = 'vclock'" : ''}`,
    )
    client.close()
  }
  const problems = await check(node.port)
  const writers = Array.from({ length: WRITERS }, (_, writer) => write(node.port, writer))
  await sleep(random.float() * LOAD_MS_MAX)
  await endProcess(node, 'SIGKILL')
  await Promise.all(writers)
  return problems
}

process.stdout.write(`SEED=${SEED}\n`)
let lost = 0
let failedStarts = 0
for (let i = 0; i <= CYCLES; i++) {
  let node: NodeProcess
  try {
    node = await startProcess(OPTIONS)
  } catch (error) {
    failedStarts++
    process.stdout.write(`cycle ${i}: ${(error as Error).message}\n`)
    break
  }
  const problems = await cycle(node, i === 0)
  lost += problems.length
  for (const problem of problems.slice(0, 10)) process.stdout.write(`cycle ${i}: ${problem}\n`)
  if (i % 10 === 0)
    process.stdout.write(
      `cycle ${i}: started in ${node.startMs.toFixed(0)} ms, ${acknowledgedWrites} writes acknowledged so far\n`,
    )
}
process.stdout.write(
  `${CYCLES} kills, ${acknowledgedWrites} writes acknowledged, ${lost} lost or wrong, ${failedStarts} failed starts\n`,
)
if (lost > 0 || failedStarts > 0) {
  directory.keep()
  process.stdout.write('the data directory is kept for a look\n')
}
process.exit(lost === 0 && failedStarts === 0 ? 0 : 1)
