/**
 * Runs a plan: each operation on a store on a simulated disk and on the judge, each answer compared. Ends at the first difference.
 */

import { crc32 } from 'node:zlib'
import { assert } from '../../../lib/base/assert.ts'
import { RequestError } from '../../../lib/base/errors.ts'
import { JobError, type Random, type Runtime } from '../../../lib/runtime/runtime.ts'
import { openSimulatedDisk, type SimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
import { createSimulatedJobs } from '../../../lib/runtime/simulated/jobs.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { CompactionStopped } from '../../../storage/compaction/run.ts'
import type { ReadCommand, ReadPoint, ReadResult } from '../../../storage/model/command.ts'
import { MutationWriter } from '../../../storage/model/mutation.ts'
import { openStore, type Store } from '../../../storage/store.ts'
import { createDice, type Dice } from '../random.ts'
import { storageRuntime } from '../storage-runtime.ts'
import { compareRead, describeResult, type Question } from './compare.ts'
import type { Written } from './judge.ts'
import { COMPACTIONS, OPTION_SETS } from './options.ts'
import { latin, type Partition, partitionsOf } from './places.ts'
import {
  type Beside,
  type CompactHow,
  type MutationSpec,
  type Operation,
  type Plan,
  type PutSpec,
  type ReadSpec,
  TABLES,
  VERSIONS_TABLE,
} from './plan.ts'
import { ALL, commandOf, describeCommand, nextPoint, questionOf } from './reads.ts'
import { slowed } from './slow-disk.ts'
import { makeTable, type Table } from './tables.ts'
import { VersionLeader } from './version-leader.ts'
import { linesOf, type VersionWrite } from './versions.ts'
import { World } from './world.ts'
import { encode, encodeDelta, resolve } from './writes.ts'

export interface Outcome {
  /** What is wrong, or null. */
  readonly problem: string | null
  /** Index of the operation at which it was found. */
  readonly at: number
  /** Changes when anything that happened does: each answer, each operation of the disk, the time. */
  readonly trace: number
  readonly operations: number
  readonly diskOperations: number
  readonly reads: number
}

const REPEATED_MAX = 50
const SOME_NUMBERS = 2_000
const START_MS = 1_700_000_000_000

class Difference extends Error {}

interface Scan {
  readonly table: Table
  readonly read: ReadSpec
  after: ReadPoint
}

export async function runPlan(plan: Plan): Promise<Outcome> {
  const run = new Run(plan)
  let at = 0
  let problem: string | null = null
  try {
    await run.begin()
    for (; at < plan.operations.length; at++) await run.operation(plan.operations[at]!)
    await run.finish()
  } catch (error) {
    problem = error instanceof Difference ? error.message : `${(error as Error).stack ?? error}`
  }
  return {
    problem,
    at,
    trace: run.trace,
    operations: plan.operations.length,
    diskOperations: run.diskOperations,
    reads: run.reads,
  }
}

class Run {
  trace = 0
  reads = 0
  readonly #plan: Plan
  readonly #partitions: readonly Partition[]
  /** Of the world before the last crash. */
  #diskOperationsBefore = 0
  #disk: SimulatedDisk = openSimulatedDisk()
  #world = new World(START_MS)
  #store!: Store
  readonly #tables: Table[] = []
  #tablesMade = 0
  #snapshotsTaken = 0
  /** Writes issued so far. */
  #sequence = 0
  #pending: Promise<void>[] = []
  readonly #scans = new Map<number, Scan>()
  readonly #writer = new MutationWriter()
  readonly #diskDice: Dice
  readonly #random: Random
  /** Another actor whenever the node starts. */
  #leader!: VersionLeader

  constructor(plan: Plan) {
    this.#plan = plan
    this.#partitions = partitionsOf(plan)
    this.#diskDice = createDice(plan.seed)
    this.#random = createSeededRandom(plan.seed)
    const tables = plan.shape.hasVersions ? TABLES + 1 : TABLES
    for (let i = 0; i < tables; i++) this.#tables.push(this.#makeTable(i))
  }

  get diskOperations(): number {
    return this.#diskOperationsBefore + this.#disk.operations
  }

  async begin(): Promise<void> {
    await this.#disk.mkdir('/data')
    await this.#disk.syncDirectory('/')
    await this.#open()
  }

  /** At the end everything is compared: as it is, after closing and opening, and after all of it was lost that may be. */
  async finish(): Promise<void> {
    await this.#checkAll()
    await this.#reopen()
    await this.#checkAll()
    await this.#until(this.#store.close())
    if (this.#disk.operations > 0) this.#fold(this.#disk.operations)
  }

  async operation(operation: Operation): Promise<void> {
    this.#notePurges()
    switch (operation.kind) {
      case 'write':
        this.#write(operation.mutations)
        break
      case 'put':
        await this.#put(operation.puts)
        break
      case 'read':
        await this.#readOnce(operation.read, operation.beside)
        break
      case 'page':
        await this.#page(operation.slot, operation.read)
        break
      case 'settle':
        await this.#settle()
        break
      case 'flush':
        await this.#flush(operation.table, operation.wait)
        break
      case 'compact':
        await this.#compact(this.#tables[operation.table]!, operation)
        break
      case 'stop':
        this.#store.compactions!.stop()
        break
      case 'alter':
        await this.#alter(this.#tables[operation.table]!, operation)
        break
      case 'automatic': {
        const table = this.#tables[operation.table]!
        table.automatic = operation.on
        this.#store.compactions!.setAutomatic(table.id, operation.on)
        break
      }
      case 'snapshot':
        await this.#snapshot(this.#tables[operation.table]!)
        break
      case 'restore':
        await this.#restore(this.#tables[operation.table]!)
        break
      case 'truncate':
        await this.#truncate(operation.table)
        break
      case 'recreate':
        await this.#recreate(operation.table, operation.sameId)
        break
      case 'turns':
        for (let i = 0; i < operation.count; i++) await this.#world.turn()
        break
      case 'advance':
        await this.#world.advance(operation.ms)
        break
      case 'jump':
        this.#world.jump(operation.seconds)
        break
      case 'reopen':
        await this.#reopen()
        break
      case 'crash':
        await this.#crash(operation.survival, operation.seed)
        break
    }
    this.#fold(this.#disk.operations)
  }

  #until<T>(promise: Promise<T>): Promise<T> {
    return this.#world.until(promise)
  }

  #fold(value: number): void {
    this.trace = (Math.imul(this.trace ^ value, 0x01000193) + 1) >>> 0
  }

  #makeTable(index: number, knownId?: string): Table {
    const id = knownId ?? `5a1c395e-b41f-11e5-9f22-${(++this.#tablesMade).toString(16).padStart(12, '0')}`
    return makeTable(this.#plan, index, id)
  }

  async #open(): Promise<void> {
    const { settings } = OPTION_SETS[this.#plan.options]!
    const { clock } = this.#world
    const { diskTurnChance, deathChance } = this.#plan.shape
    const disk = slowed(this.#disk, clock, this.#diskDice, diskTurnChance)
    const random = this.#random
    const jobs = createSimulatedJobs({ clock, disk, random, deathChance })
    const runtime: Runtime = { ...storageRuntime(clock, disk), random, jobs }
    this.#store = await this.#until(openStore({ runtime, directory: '/data', settings }))
    const store = this.#store
    this.#leader = new VersionLeader(random, clock, () => store.forgettings)
    // What was replayed may be more than a memtable holds: it is being flushed then.
    if (this.#litter() !== null && deathChance === 0) {
      await this.#until(this.#store.flush())
      const litter = this.#litter()
      if (litter !== null) throw new Difference(litter)
    }
    // What compactions were told by hand holds until the next start.
    for (const table of this.#tables) {
      table.automatic = table.stored.options.compaction.enabled
      table.asked = 0
    }
    await this.#until(Promise.all(this.#tables.map(({ id, stored }) => this.#store.registerTable(id, stored))))
  }

  /** Every SSTable on disk is one of the store's. */
  #litter(): string | null {
    const found: string[] = []
    for (const path of this.#disk.files().keys()) if (/^\/data\/tables\/.*\.sst/.test(path)) found.push(path)
    const { files } = this.#store.reports.statistics
    return found.length === files ? null : `the store has ${files} SSTables, the disk ${found.join(', ')}`
  }

  async #settle(): Promise<void> {
    const pending = this.#pending
    this.#pending = []
    await this.#until(Promise.all(pending))
  }

  async #reopen(): Promise<void> {
    await this.#settle()
    await this.#until(this.#store.close())
    // Closing flushes; where a thread died it leaves that to the commit log.
    const { deathChance } = this.#plan.shape
    for (const table of this.#tables) if (deathChance === 0 || table.stored.durableWrites) table.sure = this.#sequence
    await this.#open()
    if (deathChance > 0) await this.#checkLost()
  }

  /** What opens after the crash must be what some number of writes has left: all that were acknowledged, and then the first of the others. */
  async #crash(survival: number, seed: number): Promise<void> {
    this.#diskOperationsBefore += this.#disk.operations
    const { wallMs } = this.#world
    this.#trustPeriods()
    this.#disk = this.#disk.crash(survival, createSeededRandom(seed))
    // Nothing of the old world happens any more.
    this.#world = new World(wallMs)
    this.#pending = []
    await this.#disk.mkdir('/data')
    await this.#open()
    await this.#checkLost()
  }

  async #checkLost(): Promise<void> {
    const issued = this.#sequence
    for (const table of this.#tables) {
      const { result, question } = await this.#readAll(table)
      let count = table.sure - 1
      let wrong: string | null
      let first: string | null = null
      do {
        table.judge.upTo = ++count
        if (table.versions !== null) table.versions.upTo = count
        wrong = this.#compare(table, question, result, false)
        first ??= wrong
      } while (wrong !== null && count < issued)
      table.judge.upTo = Number.POSITIVE_INFINITY
      if (table.versions !== null) table.versions.upTo = Number.POSITIVE_INFINITY
      if (wrong !== null)
        throw new Difference(
          `after the start ${table.stored.name} is not what the first ${table.sure} writes left (${first}), ` +
            `nor more of the ${issued} (${wrong})\n${describeResult(result, this.#world.nowSeconds)}`,
        )
      table.sure = count
    }
    await this.#repeat(issued)
  }

  /** Which of the writes in doubt were kept cannot always be seen, so all are made once more, as a client would: that changes nothing but this. */
  async #repeat(issued: number): Promise<void> {
    const least = Math.min(...this.#tables.map(({ sure }) => sure))
    const again = this.#issued.filter(({ sequence }) => sequence > least && sequence <= issued)
    this.#issued = []
    for (const table of this.#tables) {
      table.judge.forgetAfter(table.sure)
      table.versions?.forgetAfter(table.sure)
    }
    for (const { sequence, mutations } of again) {
      const kept = mutations.filter(({ table }) => sequence > table.sure && this.#tables.includes(table))
      if (kept.length > 0) this.#apply(kept)
    }
    await this.#settle()
    // A long list would be gone through at each crash that follows.
    if (again.length > REPEATED_MAX) await this.#flush(null, true)
  }

  /** Writes that may have to be repeated. */
  #issued: { readonly sequence: number; readonly mutations: readonly Prepared[]; readonly atMs: number }[] = []

  #write(specs: readonly MutationSpec[]): void {
    this.#apply(specs.map((spec) => this.#prepare(spec)))
  }

  /** As a leader does: the row is read, and what is joined with it made of that. */
  async #put(puts: readonly PutSpec[]): Promise<void> {
    const table = this.#tables[VERSIONS_TABLE]!
    const prepared: Prepared[] = []
    const rows = new Set<string>()
    for (const put of puts) {
      const { partition, clustering } = put
      const row = `${partition}/${clustering}`
      if (rows.has(row)) continue
      rows.add(row)
      const place = this.#partitions[partition]!
      const command = this.#leader.command(table.id, place.position, latin(clustering), this.#world.nowSeconds)
      const answer = this.#store.read(command)
      const { partitions } = answer instanceof Promise ? await this.#until(answer) : answer
      const state = partitions[0]?.rows[0]?.row ?? null
      const known = table.versions!.writesOf(partition, clustering)
      const { delta, write } = this.#leader.lead(`${table.id}/${row}`, put, state, known, this.#world.nowSeconds)
      const bytes = encodeDelta(this.#writer, table.idBytes, place, clustering, delta)
      prepared.push({ table, partition, written: [], bytes, version: { clustering, write } })
    }
    this.#apply(prepared)
  }

  #apply(mutations: readonly Prepared[]): void {
    this.#notePurges()
    const sequence = ++this.#sequence
    let durable: Promise<void> | undefined
    try {
      durable = this.#store.apply(mutations.map(({ bytes }) => bytes))
    } catch (error) {
      // What is too large for a record was not written, and no read may see it.
      if (error instanceof RequestError && error.code === 'INVALID') return
      throw error
    }
    this.#issued.push({ sequence, mutations, atMs: this.#world.clock.monotonicMs() })
    if (this.#issued.length > 64) this.#forgetIssued()
    for (const { table, partition, written, version } of mutations)
      if (version === undefined) table.judge.write(partition, sequence, written)
      else table.versions!.write(partition, version.clustering, sequence, version.write)
    const world = this.#world
    const done = (): void => {
      // What a machine that crashed would have done is nobody's.
      if (world !== this.#world) return
      for (const { table } of mutations)
        if (table.stored.durableWrites && !this.#isPeriodic) table.sure = Math.max(table.sure, sequence)
    }
    if (durable === undefined) done()
    else this.#pending.push(durable.then(done))
  }

  get #isPeriodic(): boolean {
    return OPTION_SETS[this.#plan.options]!.settings.commitLog?.mode === 'periodic'
  }

  /** Periodic syncs: what was written two periods ago is sure. */
  #trustPeriods(): void {
    if (!this.#isPeriodic) return
    const { syncPeriodMs } = OPTION_SETS[this.#plan.options]!.settings.commitLog!
    const before = this.#world.clock.monotonicMs() - 2 * syncPeriodMs!
    for (const { sequence, atMs, mutations } of this.#issued)
      for (const { table } of mutations)
        if (table.stored.durableWrites && atMs < before) table.sure = Math.max(table.sure, sequence)
  }

  #forgetIssued(): void {
    const least = Math.min(...this.#tables.map(({ sure }) => sure))
    this.#issued = this.#issued.filter(({ sequence }) => sequence > least)
  }

  #prepare(spec: MutationSpec): Prepared {
    const table = this.#tables[spec.table]!
    const { nowSeconds } = this.#world
    const written = spec.changes.map((change) => resolve(change, nowSeconds))
    const bytes = encode(this.#writer, table.idBytes, this.#partitions[spec.partition]!, written)
    return { table, partition: spec.partition, written, bytes }
  }

  /** What happens while `work` is under way may purge. Its thread may die, or it may be stopped: nothing is lost by that. */
  #asked(table: Table, work: Promise<void>): Promise<void> {
    table.asked++
    const world = this.#world
    return work
      .catch((error: unknown) => {
        // In a machine that crashed meanwhile nobody waits for it.
        if (world !== this.#world) return
        if (!(error instanceof JobError || error instanceof CompactionStopped)) throw error
      })
      .finally(() => {
        this.#notePurges()
        table.asked--
      })
  }

  async #compact(table: Table, { how, pick, wait }: Extract<Operation, { kind: 'compact' }>): Promise<void> {
    const done = this.#asked(table, this.#compaction(table, how, pick))
    if (wait) await this.#until(done)
    else this.#pending.push(done)
  }

  async #compaction({ id }: Table, how: CompactHow, pick: number): Promise<void> {
    const compactions = this.#store.compactions!
    if (how === 'major' || how === 'split') await compactions.major(id, { splitOutput: how === 'split' })
    else if (how === 'garbage') await compactions.collectGarbage(id)
    else {
      // Names that are taken for numbers of files: those that do not exist are passed over.
      const numbers = new Set<number>()
      for (let number = 0; number < SOME_NUMBERS; number += pick) numbers.add(number)
      await compactions.merge(id, numbers)
    }
  }

  async #alter(table: Table, { compaction, gcGraceSeconds }: Extract<Operation, { kind: 'alter' }>): Promise<void> {
    const { options } = table.stored
    const changed = COMPACTIONS[compaction]!
    // Until the last compaction under the old options is done, either may hold.
    this.#notePurges()
    table.stored = {
      ...table.stored,
      options: { ...options, compaction: changed, gcGraceSeconds: gcGraceSeconds ?? options.gcGraceSeconds },
    }
    table.automatic ||= changed.enabled
    await this.#until(this.#store.registerTable(table.id, table.stored))
  }

  /** Tells the judges until when purging went on. */
  #notePurges(): void {
    for (const { judge, automatic, asked, stored } of this.#tables)
      if (automatic || asked > 0) judge.mayPurge(this.#world.seenSeconds, stored.options.gcGraceSeconds)
  }

  async #flush(index: number | null, wait: boolean): Promise<void> {
    const tables = index === null ? this.#tables : [this.#tables[index]!]
    const upTo = this.#sequence
    const world = this.#world
    const done = this.#store.flush(index === null ? undefined : tables[0]!.id).then(
      () => {
        if (world !== this.#world) return
        for (const table of tables) table.sure = Math.max(table.sure, upTo)
      },
      (error: unknown) => {
        // A thread that died leaves the memtable as it was.
        if (!(error instanceof JobError)) throw error
      },
    )
    if (wait) await this.#until(done)
    else this.#pending.push(done)
  }

  async #snapshot(table: Table): Promise<void> {
    await this.#settle()
    const { snapshots } = this.#store
    const tag = `s${++this.#snapshotsTaken}`
    try {
      await this.#until(snapshots!.take({ tag, tables: [table.id], ttlMs: null, skipFlush: false }))
    } catch (error) {
      // A flush whose thread died: there is no snapshot then.
      if (!(error instanceof JobError)) throw error
      return
    }
    const [folder] = await this.#until(snapshots!.find(tag, 'k', table.stored.name))
    assert(folder !== undefined, 'a snapshot that was taken is there')
    table.snapshot = { folder, has: table.judge.snapshot(), versions: table.versions?.snapshot() ?? null }
    table.sure = this.#sequence
  }

  async #restore(table: Table): Promise<void> {
    const { snapshot } = table
    if (snapshot === null) return
    await this.#truncate(this.#tables.indexOf(table))
    const folders = [snapshot.folder]
    await this.#until(this.#store.restore(table.id, { folders, fit: () => ({ kind: 'same' }), move: false }))
    table.judge.restore(snapshot.has)
    if (snapshot.versions !== null) table.versions!.restore(snapshot.versions)
  }

  async #truncate(index: number): Promise<void> {
    const table = this.#tables[index]!
    await this.#settle()
    await this.#until(this.#store.truncate(table.id))
    table.judge.clear()
    table.versions?.clear()
    table.sure = this.#sequence
  }

  async #recreate(index: number, sameId: boolean): Promise<void> {
    await this.#settle()
    const { id } = this.#tables[index]!
    await this.#until(this.#store.dropTable(id))
    const table = this.#makeTable(index, sameId ? id : undefined)
    table.sure = this.#sequence
    this.#tables[index] = table
    await this.#until(this.#store.registerTable(table.id, table.stored))
  }

  async #readOnce(read: ReadSpec, beside: Beside = 'nothing'): Promise<void> {
    await this.#ask(this.#tables[read.table]!, read, null, beside)
  }

  async #page(slot: number, fresh: ReadSpec): Promise<void> {
    let scan = this.#scans.get(slot)
    if (scan && !this.#tables.includes(scan.table)) scan = undefined
    const table = scan?.table ?? this.#tables[fresh.table]!
    const read = scan?.read ?? fresh
    const after = await this.#ask(table, read, scan?.after ?? null, 'nothing')
    if (after === null) this.#scans.delete(slot)
    else this.#scans.set(slot, { table, read, after })
  }

  /** Reads and compares; gives where to go on, or null at the end. */
  async #ask(table: Table, read: ReadSpec, after: ReadPoint | null, beside: Beside): Promise<ReadPoint | null> {
    const asked = { order: this.#partitions, after, nowSeconds: this.#world.nowSeconds }
    const command = commandOf(table.id, read, asked)
    const result = await this.#read(command, table, beside)
    const question = questionOf(read, asked)
    this.#check(table, question, result, command)
    return result.more ? nextPoint(read, after, result) : null
  }

  /** `beside`: what becomes of the table while the read goes on. */
  async #read(command: ReadCommand, table: Table, beside: Beside = 'nothing'): Promise<ReadResult> {
    this.reads++
    const answer = this.#store.read(command)
    if (beside === 'flush') await this.#flush(this.#tables.indexOf(table), false)
    else if (beside === 'compact') this.#pending.push(this.#asked(table, this.#store.compactions!.major(table.id)))
    const result = answer instanceof Promise ? await this.#until(answer) : answer
    for (const { position, rows } of result.partitions) {
      this.#fold(crc32(position, rows.length))
      for (const { row } of rows) this.#fold(crc32(row))
    }
    return result
  }

  #compare(table: Table, question: Question, result: ReadResult, settle: boolean): string | null {
    const { judge, versions } = table
    const { nowSeconds } = this.#world
    const key = (index: number): string => this.#partitions[index]!.key
    if (versions !== null) return versions.compare(question, result, nowSeconds, key)
    return compareRead({ judge, nowSeconds, key }, question, result, settle)
  }

  #check(table: Table, question: Question, result: ReadResult, command: ReadCommand): void {
    const wrong = this.#compare(table, question, result, true)
    if (wrong === null) return
    const { nowSeconds } = this.#world
    const told = table.versions === null ? describeResult(result, nowSeconds) : linesOf(result, nowSeconds).join('\n')
    throw new Difference(`${table.stored.name}: ${wrong}\n${describeCommand(command)}\n${told}`)
  }

  async #readAll(table: Table): Promise<{ readonly result: ReadResult; readonly question: Question }> {
    const asked = { order: this.#partitions, after: null, nowSeconds: this.#world.nowSeconds }
    return { result: await this.#read(commandOf(table.id, ALL, asked), table), question: questionOf(ALL, asked) }
  }

  async #checkAll(): Promise<void> {
    for (let i = 0; i < this.#tables.length; i++) await this.#readOnce({ ...ALL, table: i })
  }
}

interface Prepared {
  readonly table: Table
  readonly partition: number
  readonly written: readonly Written[]
  readonly bytes: Buffer
  /** Of a table that keeps versions. */
  readonly version?: { readonly clustering: string; readonly write: VersionWrite }
}
