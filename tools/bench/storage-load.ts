/**
 * One engine's share of `npm run bench -- --storage`: a process of its own, so that its reads, writes, time and memory are its own. Argument: a plan as
 * JSON. Prints each phase's report as a line of JSON.
 *
 * Keys are spread evenly over the tokens, in the same order for all engines. Half of a value's bytes can be compressed away. Writes come in
 * batches, a few in flight, or alone with many in flight. What was written is read back and compared.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { type Engine, type EngineName, KEY_BYTES, openEngine } from './storage-engines.ts'

export interface StoragePlan {
  readonly engine: EngineName
  readonly directory: string
  readonly count: number
  readonly valueBytes: number
  readonly batch: number
  readonly memtableBytes: number
  readonly cacheBytes: number
  readonly seconds: number
  readonly only: string | null
}

export interface PhaseReport {
  readonly phase: string
  /** Rows written or read. */
  readonly rows: number
  readonly seconds: number
  /** Of one operation (a batch, a get, a scan), in µs. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly cpuSeconds: number
  readonly loopStallMs: number
  readonly rssBytes: number
  /** After writes, once compaction rests: bytes handed to the disk by bytes of rows, and bytes that lie on it by those of live rows. */
  readonly writeAmplification: number | null
  readonly spaceAmplification: number | null
  /** How long compaction went on after the last write. */
  readonly quietSeconds: number | null
}

const plan = JSON.parse(process.argv[2]!) as StoragePlan
const { count, valueBytes } = plan
const random = createSeededRandom(7)
const below = (limit: number): number => Math.floor(random.float() * limit)
const POOL = random.fill(Buffer.alloc(1024 * 1024))
const BATCHES_IN_FLIGHT = 4
const SINGLES_IN_FLIGHT = 64
const GETS_IN_FLIGHT = 32
const SCAN_ROWS = 100
/** Compaction rests when nothing was written for so long. */
const QUIET_MS = 2_500
const QUIET_MS_MAX = 300_000

function keyOf(index: number): Buffer {
  const key = Buffer.allocUnsafe(KEY_BYTES)
  key.writeUInt32BE(Math.floor((index / count) * 2 ** 32), 0)
  key.writeUInt32BE(Math.imul(index, 0x9e3779b1) >>> 0, 4)
  key.writeUInt32BE(0, 8)
  key.writeUInt32BE(index, 12)
  return key
}

function valueAt(index: number, version: number): Buffer {
  const value = Buffer.allocUnsafe(valueBytes)
  const half = valueBytes >> 1
  const from = (Math.imul(index + version * 31, 0x85ebca6b) >>> 0) % (POOL.length - half)
  POOL.copy(value, 0, from, from + half)
  value.fill(0x61 + version, half)
  return value
}

/** Every index once, in an order that looks like chance: a full cycle modulo the next prime. */
function* shuffled(): Generator<number> {
  let prime = count
  while (!isPrime(prime)) prime++
  const step = Math.floor(prime * 0.6180339887) | 1
  for (let i = 0, at = below(prime); i < prime; i++, at = (at + step) % prime) if (at < count) yield at
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return n > 1
}

function* ascending(): Generator<number> {
  for (let i = 0; i < count; i++) yield i
}

function writtenBytes(): number {
  return Number(/^wchar: (\d+)/m.exec(readFileSync('/proc/self/io', 'latin1'))![1])
}

function bytesOnDisk(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.blocks ?? 0
  return bytes * 512
}

/** Waits until the process writes nothing more; gives the seconds that it still did. */
async function rest(): Promise<number> {
  const began = performance.now()
  let last = writtenBytes()
  let lastAt = began
  while (performance.now() - lastAt < QUIET_MS && performance.now() - began < QUIET_MS_MAX) {
    await sleep(100)
    const now = writtenBytes()
    if (now - last > 4096) lastAt = performance.now()
    last = now
  }
  return (lastAt - began) / 1000
}

interface Measured {
  readonly rows: number
}

/** Runs a phase and reports it. `run` records the µs of each operation. */
async function phase(
  name: string,
  run: (record: (beganMs: number) => void) => Promise<Measured>,
  after?: { readonly directory: string; readonly rowsWritten: number; readonly liveRows: number },
): Promise<void> {
  const histogram = createHistogram()
  const loop = monitorEventLoopDelay({ resolution: 5 })
  const writtenBefore = writtenBytes()
  const cpuBefore = process.cpuUsage()
  loop.enable()
  const began = performance.now()
  const { rows } = await run((beganMs) => {
    histogram.record(Math.max(1, Math.round((performance.now() - beganMs) * 1000)))
  })
  const seconds = (performance.now() - began) / 1000
  loop.disable()
  let quietSeconds: number | null = null
  let writeAmplification: number | null = null
  let spaceAmplification: number | null = null
  if (after) {
    quietSeconds = await rest()
    const rowBytes = KEY_BYTES + valueBytes
    writeAmplification = (writtenBytes() - writtenBefore) / (after.rowsWritten * rowBytes)
    spaceAmplification = bytesOnDisk(after.directory) / (after.liveRows * rowBytes)
  }
  const cpu = process.cpuUsage(cpuBefore)
  const report: PhaseReport = {
    phase: name,
    rows,
    seconds,
    p50: histogram.percentile(50),
    p99: histogram.percentile(99),
    max: histogram.max,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    loopStallMs: Math.max(0, loop.max / 1e6 - 5),
    rssBytes: process.memoryUsage.rss(),
    writeAmplification,
    spaceAmplification,
    quietSeconds,
  }
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

/** Writes what the indexes name, `size` in a batch, some batches in flight, until they or the seconds end. */
async function write(
  engine: Engine,
  indexes: Iterator<number>,
  shape: { readonly size: number; readonly inFlight: number; readonly version: number; readonly seconds: number },
  record: (beganMs: number) => void,
): Promise<Measured> {
  let rows = 0
  const endMs = performance.now() + shape.seconds * 1000
  const one = async (): Promise<void> => {
    const keys: Buffer[] = []
    const values: Buffer[] = []
    for (;;) {
      keys.length = 0
      values.length = 0
      while (keys.length < shape.size) {
        const next = indexes.next()
        if (next.done) break
        keys.push(keyOf(next.value))
        values.push(valueAt(next.value, shape.version))
      }
      if (keys.length === 0 || performance.now() > endMs) return
      const began = performance.now()
      const wait = engine.write(keys, values)
      if (wait) await wait
      record(began)
      rows += keys.length
      // An engine that never makes its caller wait would keep the loop to itself.
      if (!wait && rows % 1_000 < shape.size) await new Promise(setImmediate)
    }
  }
  await Promise.all(Array.from({ length: shape.inFlight }, one))
  return { rows }
}

/** Reads keys by chance for some seconds, and proves each value. */
async function get(
  engine: Engine,
  pick: () => number,
  version: number,
  record: (beganMs: number) => void,
): Promise<Measured> {
  let rows = 0
  const endMs = performance.now() + plan.seconds * 1000
  const one = async (): Promise<void> => {
    for (let turn = 0; performance.now() < endMs; turn++) {
      const index = pick()
      const began = performance.now()
      const answer = engine.get(keyOf(index))
      const value = answer instanceof Promise ? await answer : answer
      record(began)
      if (!value?.equals(valueAt(index, version))) throw new Error(`row ${index} is not as it was written`)
      rows++
      if (!(answer instanceof Promise) && turn % 200 === 0) await new Promise(setImmediate)
    }
  }
  await Promise.all(Array.from({ length: GETS_IN_FLIGHT }, one))
  return { rows }
}

async function scans(engine: Engine, record: (beganMs: number) => void): Promise<Measured> {
  let rows = 0
  const endMs = performance.now() + plan.seconds * 1000
  while (performance.now() < endMs) {
    const began = performance.now()
    rows += await engine.scan(keyOf(below(count)), SCAN_ROWS)
    record(began)
  }
  return { rows }
}

const wants = (name: string): boolean => plan.only === null || name.includes(plan.only)
const budget = { memtableBytes: plan.memtableBytes, cacheBytes: plan.cacheBytes }
const batches = { size: plan.batch, inFlight: BATCHES_IN_FLIGHT, seconds: Infinity }

async function withEngine(directory: string, sync: boolean, run: (engine: Engine) => Promise<void>): Promise<void> {
  mkdirSync(directory, { recursive: true })
  const engine = await openEngine(plan.engine, directory, { ...budget, sync })
  try {
    await run(engine)
  } finally {
    await engine.close()
  }
}

const directoryOf = (name: string): string => join(plan.directory, name)
const all = (directory: string) => ({ directory, rowsWritten: count, liveRows: count })

for (const [name, order] of [['sequential', ascending] as const]) {
  if (!wants(`fill ${name}`)) continue
  const directory = directoryOf(name)
  await withEngine(directory, false, (engine) =>
    phase(`fill ${name}`, (record) => write(engine, order(), { ...batches, version: 0 }, record), all(directory)),
  )
  rmSync(directory, { recursive: true })
}

if (wants('single')) {
  const directory = directoryOf('single')
  const shape = { size: 1, inFlight: SINGLES_IN_FLIGHT, version: 0, seconds: plan.seconds }
  for (const sync of [false, true]) {
    await withEngine(directory, sync, (engine) =>
      phase(sync ? 'single, synced' : 'single', (record) => write(engine, shuffled(), shape, record)),
    )
    rmSync(directory, { recursive: true })
  }
}

if (wants('batch, synced')) {
  const directory = directoryOf('batch')
  await withEngine(directory, true, (engine) =>
    phase('batch, synced', (record) =>
      write(engine, shuffled(), { ...batches, version: 0, seconds: plan.seconds }, record),
    ),
  )
  rmSync(directory, { recursive: true })
}

if (wants('random')) {
  const directory = directoryOf('random')
  await withEngine(directory, false, async (engine) => {
    await phase(
      'fill random',
      (record) => write(engine, shuffled(), { ...batches, version: 0 }, record),
      all(directory),
    )
    // Hot: rows side by side, a quarter of the cache in all. Cold: any.
    const hot = Math.min(count, Math.floor(plan.cacheBytes / 4 / (KEY_BYTES + valueBytes)))
    const first = Math.floor((count - hot) / 2)
    for (let i = first; i < first + hot; i++) await engine.get(keyOf(i))
    await phase('get random, hot', (record) => get(engine, () => first + below(hot), 0, record))
    await phase('get random, cold', (record) => get(engine, () => below(count), 0, record))
    await phase('get random, missing', async (record) => {
      const endMs = performance.now() + plan.seconds * 1000
      let rows = 0
      while (performance.now() < endMs) {
        const key = keyOf(below(count))
        key[7]! ^= 1
        key[8] = 1
        const began = performance.now()
        const value = await engine.get(key)
        record(began)
        if (value) throw new Error('a row that was never written')
        rows++
      }
      return { rows }
    })
    await phase('scan of 100', (record) => scans(engine, record))
    await phase('scan of all', async (record) => {
      const began = performance.now()
      const rows = await engine.scan(null, Infinity)
      record(began)
      if (rows !== count) throw new Error(`${rows} of ${count} rows in a scan`)
      return { rows }
    })
    await phase(
      'overwrite random',
      (record) => write(engine, shuffled(), { ...batches, version: 1 }, record),
      all(directory),
    )
    await phase('get after overwrite', (record) => get(engine, () => below(count), 1, record))
  })
  rmSync(directory, { recursive: true })
}
