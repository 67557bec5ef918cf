/**
 * A table without disk or bytes: flushes of keys, and compactions as a strategy chooses them, several at once, ending in any order. What must hold is
 * checked after each step; what it costs is counted.
 */
import { strict as assert } from 'node:assert'
import { chooseCompaction, pendingCompactions } from '../../storage/compaction/choose.ts'
import { levelsOf } from '../../storage/compaction/leveled.ts'
import { NEVER_DROPPED, NO_MEMORY, type SSTableInfo, type Task } from '../../storage/compaction/strategy.ts'
import type { TableOptions } from '../../storage/table-options.ts'
import type { Dice } from './random.ts'

export interface Load {
  readonly options: TableOptions
  /** Different keys; each write takes one by chance, or, in order of time, the next. */
  readonly keys: number
  readonly inOrder: boolean
  readonly rowBytes: number
  /** Keys of a flush, at least and below. */
  readonly flushKeys: readonly [number, number]
  /** Time between two flushes. */
  readonly flushEveryS: number
  /** 0: nothing expires. */
  readonly ttlS: number
  readonly tasksAtOnce: number
}

interface Row {
  readonly key: number
  /** Unique, ascending. */
  readonly version: number
  /** Seconds since 1970. */
  readonly writtenS: number
}

interface SimulatedTable {
  info: SSTableInfo
  readonly rows: readonly Row[]
}

interface Running {
  readonly task: Exclude<Task, { kind: 'rest' }>
  readonly inputs: readonly SimulatedTable[]
}

export interface Figures {
  readonly flushes: number
  readonly tasks: number
  readonly tables: number
  readonly tablesMost: number
  readonly pendingMost: number
  /** Bytes written by flushes and merges, for each byte that was flushed. */
  readonly writeAmplification: number
  /** SSTables that hold a key, on average and at most. */
  readonly readAmplification: number
  readonly readAmplificationMost: number
  /** Bytes of SSTables for each byte of the newest versions. */
  readonly spaceAmplification: number
}

export class CompactionSimulation {
  readonly #load: Load
  readonly #dice: Dice
  #options: TableOptions
  readonly #live = new Map<number, SimulatedTable>()
  readonly #running: Running[] = []
  #memory = NO_MEMORY
  #nowS = 1_700_000_000
  #number = 0
  #version = 0
  /** Newest version of each key; those dropped for size, or expired for good, are not missed. */
  readonly #newest = new Map<number, Row>()
  #flushes = 0
  #tasks = 0
  #flushedBytes = 0
  #mergedBytes = 0
  #tablesMost = 0
  #pendingMost = 0

  constructor(load: Load, dice: Dice) {
    this.#load = load
    this.#dice = dice
    this.#options = load.options
  }

  get tables(): SSTableInfo[] {
    return [...this.#live.values()].map((table) => table.info)
  }

  /** As ALTER TABLE does. */
  alter(options: TableOptions): void {
    this.#options = options
  }

  flush(): void {
    const { flushKeys, keys, inOrder, flushEveryS } = this.#load
    const rows = new Map<number, Row>()
    const count = flushKeys[0] + this.#dice.int(flushKeys[1] - flushKeys[0])
    for (let i = 0; i < count; i++) {
      const version = ++this.#version
      const key = inOrder ? version % keys : this.#dice.int(keys)
      const row = { key, version, writtenS: this.#nowS }
      rows.set(key, row)
      this.#newest.set(key, row)
    }
    const table = this.#add(
      [...rows.values()].sort((a, b) => a.key - b.key),
      0,
    )
    this.#flushedBytes += table.fileBytes
    this.#flushes++
    this.pass(flushEveryS)
  }

  pass(seconds: number): void {
    this.#nowS += seconds
  }

  /** Begins what can begin, ends some of what runs. */
  work(ends: number): void {
    this.#begin()
    for (let i = 0; i < ends && this.#running.length > 0; i++) {
      this.#end(this.#running.splice(this.#dice.int(this.#running.length), 1)[0]!)
      this.#begin()
    }
  }

  /** Until nothing is to be done; gives up after so many tasks. */
  settle(tasksMost: number): void {
    const before = this.#tasks
    do {
      this.work(1)
      assert(this.#tasks - before < tasksMost, `no rest after ${tasksMost} tasks`)
    } while (this.#running.length > 0)
  }

  #begin(): void {
    while (this.#running.length < this.#load.tasksAtOnce) {
      const snapshot = {
        tables: this.tables,
        outside: [],
        options: this.#options,
        nowMs: this.#nowS * 1000,
        memtableMinTimestamp: null,
        memory: this.#memory,
      }
      if (this.#running.length === 0) this.#pendingMost = Math.max(this.#pendingMost, pendingCompactions(snapshot))
      const { task, memory } = chooseCompaction(snapshot)
      this.#memory = memory
      if (task.kind === 'rest') return
      assert(task.inputs.length > 0, 'a task has inputs')
      assert(new Set(task.inputs).size === task.inputs.length, 'each input once')
      const inputs = task.inputs.map(({ number }) => {
        const table = this.#live.get(number)
        assert(table && !table.info.isCompacting, `input ${number} is live and idle`)
        table.info = { ...table.info, isCompacting: true }
        return table
      })
      this.#running.push({ task, inputs })
      this.#tasks++
    }
  }

  #end({ task, inputs }: Running): void {
    for (const { info } of inputs) this.#live.delete(info.number)
    if (task.kind === 'drop') this.#drop(inputs, task.why)
    else if (task.kind === 'move')
      for (const { info, rows } of inputs)
        this.#live.set(info.number, { info: { ...info, level: task.level, isCompacting: false }, rows })
    else this.#merge(inputs, task.level, task.outputBytesMax)
    this.#checkLevels()
  }

  #drop(inputs: readonly SimulatedTable[], why: 'expired' | 'size'): void {
    for (const { rows } of inputs)
      for (const row of rows) {
        if (why === 'expired') assert(this.#isGone(row), 'what is dropped as expired is')
        if (this.#newest.get(row.key) === row) this.#newest.delete(row.key)
      }
  }

  #isGone({ writtenS }: Row): boolean {
    return this.#load.ttlS > 0 && writtenS + this.#load.ttlS + this.#options.gcGraceSeconds < this.#nowS
  }

  #merge(inputs: readonly SimulatedTable[], level: number, bytesMax: number): void {
    const merged = new Map<number, Row>()
    for (const { rows } of inputs)
      for (const row of rows) if ((merged.get(row.key)?.version ?? 0) < row.version) merged.set(row.key, row)
    const kept = [...merged.values()].filter((row) => !this.#isGone(row)).sort((a, b) => a.key - b.key)
    const perTable = Math.max(1, Math.ceil(bytesMax / this.#load.rowBytes))
    for (let from = 0; from < kept.length; from += perTable)
      this.#mergedBytes += this.#add(kept.slice(from, from + perTable), level).fileBytes
  }

  #add(rows: readonly Row[], level: number): SSTableInfo {
    const written = rows.map((row) => row.writtenS)
    const newestS = Math.max(...written)
    const info: SSTableInfo = {
      number: ++this.#number,
      level,
      fileBytes: rows.length * this.#load.rowBytes,
      minPosition: positionOf(rows[0]!.key),
      maxPosition: positionOf(rows.at(-1)!.key),
      minTimestamp: BigInt(Math.min(...written)) * 1_000_000n,
      maxTimestamp: BigInt(newestS) * 1_000_000n,
      lastDropSeconds: this.#load.ttlS > 0 ? newestS + this.#load.ttlS : NEVER_DROPPED,
      droppable: rows.filter((row) => this.#isGone(row)).length / rows.length,
      isDroppableLater: this.#load.ttlS > 0,
      madeAtMs: this.#nowS * 1000,
      repairedAtMs: 0,
      isCompacting: false,
    }
    this.#live.set(info.number, { info, rows })
    this.#tablesMost = Math.max(this.#tablesMost, this.#live.size)
    return info
  }

  /** While leveled rules from the start, no level above 0 overlaps itself, whatever runs. */
  #checkLevels(): void {
    if (this.#load.options.compaction.strategy.kind !== 'leveled') return
    for (const [level, tables] of levelsOf(this.tables).entries())
      assert(
        tables.every((table) => table.level === level),
        `level ${level} overlaps itself`,
      )
  }

  /** Every newest version is there. */
  check(): void {
    const held = new Set<number>()
    for (const { rows } of this.#live.values()) for (const { version } of rows) held.add(version)
    for (const row of this.#newest.values())
      assert(held.has(row.version) || this.#isGone(row), `version ${row.version} of key ${row.key} is there`)
  }

  figures(): Figures {
    const counts = new Map<number, number>()
    let bytes = 0
    for (const { rows, info } of this.#live.values()) {
      bytes += info.fileBytes
      for (const { key } of rows) counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    const perKey = [...counts.values()]
    return {
      flushes: this.#flushes,
      tasks: this.#tasks,
      tables: this.#live.size,
      tablesMost: this.#tablesMost,
      pendingMost: this.#pendingMost,
      writeAmplification: (this.#flushedBytes + this.#mergedBytes) / this.#flushedBytes,
      readAmplification: perKey.reduce((sum, count) => sum + count, 0) / Math.max(1, perKey.length),
      readAmplificationMost: perKey.reduce((most, count) => Math.max(most, count), 0),
      spaceAmplification: bytes / Math.max(1, counts.size * this.#load.rowBytes),
    }
  }
}

function positionOf(key: number): Buffer {
  const bytes = Buffer.alloc(10)
  bytes.writeUInt32BE(key * 1000)
  return bytes
}
