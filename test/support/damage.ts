/**
 * Damage at every byte of what a store keeps: each is flipped, zeroed, the file is cut there, or everything from there on is zeros. What is read
 * afterwards must be what was written, or be refused; of a commit log also its first records, where nothing on disk can tell that more were synced.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { openNodeClock } from '../../lib/runtime/node/clock.ts'
import type { Random } from '../../lib/runtime/runtime.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../lib/runtime/simulated/disk.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { BlockCache } from '../../storage/cache.ts'
import { openCommitLog } from '../../storage/commitlog/open.ts'
import { replayCommitLog } from '../../storage/commitlog/replay.ts'
import { offsetOf, segmentOf } from '../../storage/commitlog/segment.ts'
import { CorruptionError } from '../../storage/errors.ts'
import { type Edit, type Manifest, openManifest } from '../../storage/manifest.ts'
import { RowWriter } from '../../storage/model/row-writer.ts'
import { openTableReader } from '../../storage/sstable/reader.ts'
import { openTableWriter } from '../../storage/sstable/writer.ts'

export const KINDS = ['flip', 'zero', 'cut', 'wipe'] as const
export type Kind = (typeof KINDS)[number]

/**
 * `same`: all that was written is read, which the damage did not touch; `refused`: nothing is read; `partly`: what is damaged is refused, the rest is
 * read; `prefix`: what was written first is read, and it cannot be known that there was more; `wrong` is what must not be.
 */
export type Outcome = 'same' | 'refused' | 'partly' | 'prefix' | 'wrong'

export interface Subject {
  readonly name: string
  readonly files: ReadonlyMap<string, Buffer>
  readonly disk: SimulatedDisk
  /** Reads everything back. `at`: where the damage is. */
  examine(damage: { readonly path: string; readonly position: number; readonly kind: Kind }): Promise<Outcome>
  /** Outcomes that are right. */
  readonly allowed: Readonly<Record<Kind, readonly Outcome[]>>
}

export interface Tally {
  readonly name: string
  readonly positions: number
  readonly outcomes: Map<string, number>
  readonly problems: string[]
}

/** Damages every `stride`th byte in every way. */
export async function damageEverywhere(
  subject: Subject,
  options: { seed: number; stride?: number; report?: (done: number, total: number) => void },
): Promise<Tally> {
  const { disk, files } = subject
  const stride = options.stride ?? 1
  const random = createSeededRandom(options.seed)
  const outcomes = new Map<string, number>()
  const problems: string[] = []
  let positions = 0
  const total = Math.floor([...files.values()].reduce((sum, content) => sum + content.length, 0) / stride)
  for (const [path, content] of files) {
    for (let position = Math.floor(random.float() * stride); position < content.length; position += stride) {
      positions++
      if (positions % 4096 === 0) options.report?.(positions, total)
      for (const kind of KINDS) {
        const damaged = damage(content, position, kind, random)
        disk.overwrite(path, damaged)
        const outcome = damaged.equals(content) ? 'unchanged' : await subject.examine({ path, position, kind })
        const name = `${kind} ${outcome}`
        outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
        if (outcome !== 'unchanged' && !subject.allowed[kind].includes(outcome))
          problems.push(`TEST_SEED=${options.seed} ${subject.name}: ${kind} at ${position} of ${path}: ${outcome}`)
      }
    }
    disk.overwrite(path, content)
  }
  return { name: subject.name, positions, outcomes, problems }
}

function damage(content: Buffer, position: number, kind: Kind, random: Random): Buffer {
  if (kind === 'cut') return content.subarray(0, position)
  const damaged = Buffer.from(content)
  if (kind === 'flip') damaged[position]! ^= 1 << Math.floor(random.float() * 8)
  else if (kind === 'zero') damaged[position] = 0
  else damaged.fill(0, position)
  return damaged
}

async function refusedOr<T>(read: () => Promise<T>): Promise<T | 'refused'> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof CorruptionError) return 'refused'
    throw error
  }
}

const LOG = '/node/commitlog'

/**
 * A commit log of four segments as a power loss leaves it. `marked`: it was idle before, so that all that was acknowledged is marked as synced; else the
 * power went in the very moment of the last acknowledgement.
 */
export async function commitLogSubject(
  seed: number,
  options: { marked: boolean; segmentBytes: number },
): Promise<Subject> {
  const { marked, segmentBytes } = options
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  await disk.mkdir('/node')
  await disk.syncDirectory('/')
  const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }
  const clock = openNodeClock()
  const log = await openCommitLog(
    { clock, disk, random, log: silent },
    LOG,
    { mode: 'group', segmentBytes, idleMarkMs: marked ? 1 : 0 },
    () => null,
  )
  const kept: { position: number; payload: Buffer }[] = []
  let lastGroup = { records: 0, from: 0 }
  while (segmentOf(log.position) < 4 || offsetOf(log.position) < segmentBytes / 2) {
    lastGroup = { records: kept.length, from: log.position }
    for (let i = 0; i < 3; i++) {
      const payload = random.fill(Buffer.alloc(1 + Math.floor(random.float() * 200)))
      kept.push({ position: log.append([payload], ['t']), payload })
    }
    await log.durable()
  }
  const end = log.position
  while (marked && log.position === end) await new Promise<void>((resolve) => clock.after(1, resolve))
  if (marked) await log.sync()
  const { position } = log
  const crashed = disk.crash(0, random)
  await log.close()
  const lastPath = `${LOG}/commitlog-1-${String(segmentOf(position)).padStart(10, '0')}.log`
  // Behind the last byte that was written nothing is promised.
  const written = offsetOf(position)
  return {
    name: `commit log, ${marked ? 'idle before the power went' : 'power lost at the last acknowledgement'}`,
    disk: crashed,
    files: crashed.files(),
    allowed: {
      flip: marked ? ['same', 'refused'] : ['same', 'refused', 'prefix'],
      zero: marked ? ['same', 'refused'] : ['same', 'refused', 'prefix'],
      cut: ['refused', 'same'],
      wipe: ['same', 'refused', 'prefix'],
    },
    async examine({ path, position: at, kind }) {
      let found = 0
      let wrong = false
      const answer = await refusedOr(() =>
        replayCommitLog(crashed, LOG, (payload, where) => {
          const record = kept[found++]
          if (record?.position !== where || !record.payload.equals(payload)) wrong = true
          return null
        }),
      )
      if (wrong) return 'wrong'
      if (answer === 'refused') return 'refused'
      if (found === kept.length) return 'same'
      // Groups before the last one are known to have been synced, by the mark that begins the next.
      const inLastGroup = path === lastPath && at >= offsetOf(lastGroup.from) && at < written
      if (kind !== 'wipe') return inLastGroup && found >= lastGroup.records ? 'prefix' : 'wrong'
      return path === lastPath ? 'prefix' : 'wrong'
    },
  }
}

const TABLE = '/tables/1.sst'

/** An SSTable with two levels of index, a filter, and entries of partitions with one row and with many. */
export async function tableSubject(seed: number, partitions: number): Promise<Subject> {
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  await disk.mkdir('/tables')
  const uid = random.fill(Buffer.alloc(8))
  const writer = await openTableWriter(disk, TABLE, {
    uid,
    partitionsEstimate: partitions,
    blockBytes: 512,
    indexBlockBytes: 256,
  })
  const entries: { key: Buffer; value: Buffer }[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const position = Buffer.alloc(14)
    position.writeUInt32BE(partition * 1000, 0)
    position.writeUInt16BE(4, 8)
    random.fill(position.subarray(10))
    for (let row = 0; row < (partition % 10 === 0 ? 20 : 1); row++) {
      const value = rowOf(random)
      entries.push({ key: Buffer.concat([position, Buffer.from([3, row + 1])]), value })
    }
  }
  for (const { key, value } of entries) await writer.add(key, value)
  const expected = await writer.finish()
  return {
    name: 'SSTable',
    disk,
    files: disk.files(),
    allowed: { flip: ['refused', 'partly'], zero: ['refused', 'partly'], cut: ['refused'], wipe: ['refused'] },
    async examine() {
      const table = await refusedOr(() => openTableReader(disk, TABLE, { cache: new BlockCache(), expected }))
      if (table === 'refused') return 'refused'
      try {
        for (const { key, value } of entries) {
          const found = await refusedOr(async () => table.get(key))
          if (found !== 'refused' && !found?.equals(value)) return 'wrong'
        }
        const scan = await refusedOr(async () => {
          const cursor = table.cursor()
          let at = 0
          for (await cursor.first(); cursor.valid; await cursor.next()) {
            const entry = entries[at++]
            if (!entry?.key.equals(cursor.key) || !entry.value.equals(cursor.value)) return 'wrong'
          }
          return at === entries.length ? 'same' : 'wrong'
        })
        if (scan === 'wrong') return 'wrong'
        // What no read met, as the damage of a header, verify() must.
        return (await refusedOr(() => table.verify())) === 'refused' ? 'partly' : 'same'
      } finally {
        await table.close()
      }
    },
  }
}

function rowOf(random: Random): Buffer {
  const out = new ByteWriter()
  const row = new RowWriter(out)
  row.begin()
  row.liveness(0x60000, 7, 0, 0)
  row.cell(1, 0x60000, 7, random.fill(Buffer.alloc(Math.floor(random.float() * 60))))
  row.end()
  return out.copy()
}

const MANIFEST = '/manifest/MANIFEST'

/** A manifest with a snapshot and groups behind it. */
export async function manifestSubject(seed: number, groups: number): Promise<Subject> {
  const random = createSeededRandom(seed)
  const disk = openSimulatedDisk()
  const open = (from: SimulatedDisk): Promise<Manifest> =>
    openManifest({ disk: from, random: createSeededRandom(seed) }, '/manifest', { editBytes: 2048 })
  const stateOf = (manifest: Manifest): string =>
    JSON.stringify([...manifest.tables.values()].map((table) => ({ ...table, files: [...table.files.values()] })))
  let manifest = await open(disk)
  const states: string[] = []
  for (let i = 0; i < groups; i++) {
    if (i === Math.floor(groups / 2)) {
      await manifest.close()
      manifest = await open(disk)
    }
    const table = `table ${i % 3}`
    const edits: Edit[] = i < 3 ? [{ kind: 'table', table, directory: `k/${table}` }] : []
    const number = manifest.takeFileNumber()
    const uid = random.fill(Buffer.alloc(8))
    const position = random.fill(Buffer.alloc(14))
    const file = {
      number,
      level: 0,
      fileBytes: i * 1000,
      repairedAtMs: 0,
      uid,
      minPosition: position,
      maxPosition: position,
    }
    edits.push({ kind: 'add', table, file }, { kind: 'flushed', table, position: i * 100 })
    if (i > 3) edits.push({ kind: 'remove', table: `table ${(i - 3) % 3}`, number: number - 3 })
    await manifest.apply(edits)
    states.push(stateOf(manifest))
  }
  await manifest.close()
  const files = disk.files()
  return {
    name: 'manifest',
    disk,
    files: new Map([[MANIFEST, files.get(MANIFEST)!]]),
    allowed: {
      flip: ['same', 'refused'],
      zero: ['same', 'refused'],
      cut: ['refused'],
      wipe: ['same', 'refused', 'prefix'],
    },
    async examine() {
      const copy = openSimulatedDisk({ files: disk.files(), directories: ['/', '/manifest'] })
      const found = await refusedOr(() => open(copy))
      if (found === 'refused') return 'refused'
      const state = stateOf(found)
      await found.close()
      if (state === states.at(-1)) return 'same'
      return states.includes(state) ? 'prefix' : 'wrong'
    },
  }
}
