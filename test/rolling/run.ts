/**
 * `npm run rolling`: a cluster of three processes is restarted node by node under a steady load of half of what it can do, through an ordinary driver
 * with its default retries and idempotent statements. No request may fail, and every write that was acknowledged at QUORUM must be read at QUORUM, during it
 * and after it. With --kill nodes are not stopped but killed; then requests may be tried again by whoever asks, and only lost writes count.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import cassandra from 'cassandra-driver'
import { ClusterProcess } from '../../tools/cluster/node-process.ts'
import { planCluster } from '../../tools/cluster/plan.ts'
import { readOptions } from '../../tools/support/options.ts'

const { restarts, address, share, kill, level, pause } = readOptions(
  'npm run rolling',
  'a cluster of three processes is restarted node by node under load; nothing may fail, nothing be lost',
  {
    restarts: { type: 'number', default: 10, describe: 'how many' },
    address: { type: 'string', default: '127.0.0.1', describe: 'of the first node' },
    share: { type: 'number', default: 0.5, describe: 'of the peak' },
    kill: { type: 'boolean', default: false, describe: 'kill -9 instead of a clean stop' },
    level: { type: 'string', default: 'QUORUM', describe: 'consistency level' },
    pause: { type: 'number', default: 2, describe: 'seconds between two restarts' },
  },
)

const IN_FLIGHT_AT_PEAK = 64
const PEAK_MS = 5_000
/** Beyond it the load is no longer steady: the machine is too slow for it. */
const IN_FLIGHT_MAX = 2_000

const consistency = cassandra.types.consistencies[level.toLowerCase() as keyof typeof cassandra.types.consistencies]
const INSERT = 'INSERT INTO rolling.t (k, v) VALUES (?, ?)'
const SELECT = 'SELECT v FROM rolling.t WHERE k = ?'
const OPTIONS = { prepare: true, isIdempotent: true, consistency }

const directory = mkdtempSync(join(tmpdir(), 'polyxena-rolling-'))
const plan = planCluster(['--nodes', '3', '--address', address], directory)!
const nodes = plan.nodes.map((each) => new ClusterProcess(each))
const client = new cassandra.Client({
  contactPoints: plan.nodes.map((each) => each.address),
  localDataCenter: 'datacenter1',
  protocolOptions: { port: plan.ports.client },
})

let issued = 0
let inFlight = 0
const acknowledged: number[] = []
const errors: string[] = []
const lost = new Set<number>()

async function write(): Promise<void> {
  const key = issued++
  inFlight++
  try {
    await client.execute(INSERT, [key, `value ${key}`], OPTIONS)
    acknowledged.push(key)
  } catch (error) {
    errors.push(`write: ${describe(error)}`)
  } finally {
    inFlight--
  }
}

async function read(key: number): Promise<void> {
  inFlight++
  try {
    const { rows } = await client.execute(SELECT, [key], OPTIONS)
    if (rows[0]?.v !== `value ${key}`) lost.add(key)
  } catch (error) {
    errors.push(`read: ${describe(error)}`)
  } finally {
    inFlight--
  }
}

function describe(error: unknown): string {
  const { message, innerErrors } = error as Error & { innerErrors?: Record<string, Error> }
  const inner = Object.entries(innerErrors ?? {}).map(([host, cause]) => `${host}: ${cause.message}`)
  return [message, ...inner].join(' | ')
}

async function untilReachable(): Promise<void> {
  for (;;) {
    try {
      await client.connect()
      return
    } catch {
      await wait(100)
    }
  }
}

/** Requests a second, half of them reads. */
async function peak(): Promise<number> {
  let running = true
  let done = 0
  const worker = async (): Promise<void> => {
    while (running) {
      await write()
      if (acknowledged.length > 0) await read(acknowledged[Math.floor(Math.random() * acknowledged.length)]!)
      done += 2
    }
  }
  const workers = Array.from({ length: IN_FLIGHT_AT_PEAK }, worker)
  await wait(PEAK_MS / 2)
  const before = done
  await wait(PEAK_MS / 2)
  const rate = ((done - before) / PEAK_MS) * 2_000
  running = false
  await Promise.all(workers)
  return rate
}

/** Sends at a rate, whatever comes back, until told to stop. */
function loadAt(perSecond: number): { stop(): void; skipped(): number } {
  let owed = 0
  let skipped = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    owed += ((now - last) / 1_000) * perSecond
    last = now
    for (; owed >= 2; owed -= 2) {
      if (inFlight >= IN_FLIGHT_MAX) skipped += 2
      else {
        void write()
        void read(acknowledged[Math.floor(Math.random() * acknowledged.length)]!)
      }
    }
  }, 5)
  return { stop: () => clearInterval(timer), skipped: () => skipped }
}

let failed = true
try {
  await Promise.all(nodes.map((node) => node.started))
  await untilReachable()
  await client.execute(
    "CREATE KEYSPACE rolling WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}",
  )
  await client.execute('CREATE TABLE rolling.t (k int PRIMARY KEY, v text)')
  const best = await peak()
  process.stdout.write(`peak ${best.toFixed(0)} requests/s; load ${(best * share).toFixed(0)}/s at ${level}\n`)
  if (errors.length > 0) throw new Error(`errors before any restart: ${errors[0]}`)
  const load = loadAt(best * share)
  for (let i = 0; i < restarts; i++) {
    await wait(pause * 1_000)
    const at = i % nodes.length
    const began = performance.now()
    const before = errors.length
    nodes[at]!.stop(kill)
    await nodes[at]!.ended
    const stopped = performance.now()
    nodes[at] = new ClusterProcess(plan.nodes[at]!)
    await nodes[at]!.started
    const serves = performance.now()
    process.stdout.write(
      `restart ${i + 1}: node ${at + 1} ended in ${(stopped - began).toFixed(0)} ms, served again ${(serves - stopped).toFixed(0)} ms later; ` +
        `${acknowledged.length} writes, ${errors.length - before} errors, ${inFlight} in flight, ${lost.size} not read\n`,
    )
  }
  await wait(pause * 1_000)
  load.stop()
  while (inFlight > 0) await wait(20)
  for (let i = 0; i < acknowledged.length; i += 200) await Promise.all(acknowledged.slice(i, i + 200).map(read))
  const kinds = new Map<string, number>()
  for (const error of errors) kinds.set(error, (kinds.get(error) ?? 0) + 1)
  for (const [error, count] of [...kinds].sort((a, b) => b[1] - a[1]).slice(0, 10))
    process.stdout.write(`${count} × ${error}\n`)
  process.stdout.write(
    `${restarts} restarts: ${acknowledged.length} writes acknowledged, ${errors.length} errors, ${lost.size} lost writes` +
      `${load.skipped() > 0 ? `, ${load.skipped()} requests not sent (too many in flight)` : ''}\n`,
  )
  failed = lost.size > 0 || (!kill && errors.length > 0)
} finally {
  await client.shutdown().catch(() => {})
  for (const node of nodes) node.stop(true)
  await Promise.all(nodes.map((node) => node.ended))
  rmSync(directory, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0
