/**
 * A machine of the simulated world: its disk, its address, and the node that runs on it now. The node is the real assembly with simulated doors.
 * Always: a dead node's code runs no more, its disk keeps what a real one would keep.
 */
import { defaultSettings } from '../../../lib/config/load.ts'
import type { Settings } from '../../../lib/config/settings.ts'
import type { Log, Random } from '../../../lib/runtime/runtime.ts'
import {
  type DiskOperation,
  diskError,
  openSimulatedDisk,
  type SimulatedDisk,
} from '../../../lib/runtime/simulated/disk.ts'
import { createSimulatedJobs } from '../../../lib/runtime/simulated/jobs.ts'
import type { Kernel, SimulatedProcess, WallFaults } from '../../../lib/runtime/simulated/kernel.ts'
import type { SimulatedNetwork } from '../../../lib/runtime/simulated/network.ts'
import { openNode, type StartedNode } from '../../../lib/server/assembly.ts'
import type { HttpWire } from './http.ts'

export interface MachineOptions {
  readonly kernel: Kernel
  readonly network: SimulatedNetwork
  readonly random: Random
  readonly address: string
  readonly settings: Partial<Settings>
  readonly syncMs: number
  readonly otherMs: number
  readonly latenessMs: number
  /** Absent: HTTP is not served. */
  readonly http?: HttpWire | null
  /** Of a node, or of what happens to it; for people. */
  say(line: string): void
  /** For the tally; absent: nobody counts. */
  happened?(fault: string, times?: number): void
  /** What must not happen. */
  violation(what: string): void
}

/** What a wall clock shows, which may strobe between two times; `changes`: how often it was set wrong, or right, until now. */
export interface WallSpan {
  readonly fromMicros: number
  readonly toMicros: number
  readonly changes: number
}

const NO_PAUSES = { count: 0, totalMs: 0, longestMs: 0 }
const DATA = '/data'
const TABLES = `${DATA}/tables/sim/`

type Phase = 'off' | 'starting' | 'serving' | 'stopping'

export class Machine {
  readonly address: string
  readonly #options: MachineOptions
  readonly #name: string
  #disk: SimulatedDisk = openSimulatedDisk()
  #process: SimulatedProcess | null = null
  #node: StartedNode | null = null
  #phase: Phase = 'off'
  #boots = 0
  /** Of the machine: they outlive its processes. */
  readonly #wall: WallFaults = { skewMicros: 0, driftMicros: 0, frozenAtMicros: null, strobe: null }
  diskErrors: { readonly operations: readonly DiskOperation[]; readonly chance: number } | null = null
  /** What was in files whose bits were changed. */
  readonly #rotten: { readonly now: Buffer; readonly before: Buffer }[] = []
  /** A read failed: what the node holds for damaged may be whole. */
  #doubtsFiles = false
  #wallChanges = 0
  #latestWallMicros = 0
  #refusalsTold = 0
  #refusalsAtBoot = 0
  extraDiskMs = 0
  /** When it died, stood still, and went on. */
  readonly disturbances: number[] = []
  /** It has left the cluster: it never starts again. */
  isGone = false
  /** The next sync fails. */
  failsNextSync = false
  /** The disk failed since the last start began: more may fail than otherwise. */
  #syncFailed = false

  constructor(options: MachineOptions, name: string) {
    this.#options = options
    this.#name = name
    this.address = options.address
  }

  get phase(): Phase {
    return this.#phase
  }

  get node(): StartedNode | null {
    return this.#phase === 'serving' ? this.#node : null
  }

  get wall(): WallFaults {
    return this.#process?.wall ?? this.#wall
  }

  setWall(changed: Partial<WallFaults>): void {
    this.#latestWallMicros = this.latestWallMicros
    this.#wallChanges++
    Object.assign(this.wall, changed)
  }

  wallSpan(): WallSpan {
    const { kernel } = this.#options
    const { skewMicros, driftMicros, frozenAtMicros, strobe } = this.wall
    const drifted = Math.round((kernel.nowMs / 1000) * driftMicros)
    const micros = frozenAtMicros ?? kernel.clock.wallMicros() + drifted + skewMicros
    const strobed = frozenAtMicros === null ? (strobe?.micros ?? 0) : 0
    return { fromMicros: micros, toMicros: micros + strobed, changes: this.#wallChanges }
  }

  /** The latest that it has shown. */
  get latestWallMicros(): number {
    return Math.max(this.#latestWallMicros, this.wallSpan().toMicros)
  }

  /** All is flushed and merged, if the node runs. What becomes of it when it dies meanwhile nobody learns. */
  async compact(): Promise<void> {
    const store = this.node?.store
    if (store === undefined) return
    try {
      await store.flush()
      for (const table of store.tableIds) await store.compactions?.major(table)
    } catch (error) {
      this.#options.say(`${this.#name} does not compact: ${(error as Error).message}`)
    }
  }

  get hasFailedDisk(): boolean {
    return this.#syncFailed
  }

  /** There was no room on the disk for something, since the last start began. */
  get #lackedRoom(): boolean {
    return this.#disk.refusals > this.#refusalsAtBoot
  }

  get isPaused(): boolean {
    return this.#process?.isPaused ?? false
  }

  /** Starts the node; its start goes on by itself. */
  start(): void {
    if (this.#phase !== 'off' || this.isGone) return
    const { kernel, network, random, say, violation } = this.#options
    const boot = ++this.#boots
    const process = kernel.process(`${this.#name} boot ${boot}`)
    Object.assign(process.wall, this.#wall)
    process.latenessMsMax = this.#options.latenessMs
    this.#process = process
    this.#phase = 'starting'
    this.#syncFailed = false
    const disk = this.#disk
    this.#refusalsAtBoot = disk.refusals
    this.#serveDisk(disk, process)
    const own = random.stream(`${this.#name} boot ${boot}`)
    const runtime = {
      clock: process.clock,
      random: own,
      disk,
      network: network.attach(this.address, process.clock),
      jobs: createSimulatedJobs({ clock: process.clock, disk, random: own, sliceMsMax: 2 }),
      log: this.#log(say),
    }
    const settings = defaultSettings({
      rpc_address: this.address,
      admin_port: 0,
      data_file_directories: [DATA],
      ballast_size: 0,
      drain_grace: 500,
      file_cache_size: 1024 * 1024,
      key_cache_size: 1024 * 1024,
      commit_failure_policy: 'die',
      ...(this.#options.http && { http_port: 0 }),
      ...this.#options.settings,
    })
    const http = this.#options.http ?? null
    const doors = {
      ...(http !== null && { listenHttp: http.listener(this.address, process.clock) }),
      runtime,
      pauses: { stalls: NO_PAUSES, collections: NO_PAUSES },
      memory: () => ({ residentBytes: 0, heapBytes: 0, bufferBytes: 0 }),
      async [Symbol.asyncDispose]() {},
    }
    openNode({ settings, memory: false, warnings: [] }, doors).then(
      (node) => {
        if (this.#process !== process) return
        this.#node = node
        this.#phase = 'serving'
        say(`${this.#name} serves`)
        node.died.then((error) => {
          if (this.#process !== process) return
          say(`${this.#name} dies: ${error.message}`)
          this.crash(null)
          kernel.clock.after(2_000, () => this.start())
        })
      },
      (error: Error) => {
        if (this.#process !== process) return
        say(`${this.#name} did not start: ${error.stack ?? error.message}`)
        if (error.name !== 'StartError' && !this.#syncFailed) violation(`${this.#name} did not start: ${error.message}`)
        this.crash(null)
        kernel.clock.after(1_000, () => this.start())
      },
    )
  }

  /** `survival`: the power fails, and of what was not synced so much survives; null: only the process dies. */
  crash(survival: number | null): void {
    if (this.#process === null) return
    const { kernel, network, random } = this.#options
    this.disturbances.push(kernel.nowMs)
    this.countNoRoom()
    this.#refusalsTold = survival === null ? this.#refusalsTold : 0
    Object.assign(this.#wall, this.#process.wall)
    this.#process.kill()
    this.#process = null
    this.#node = null
    this.#phase = 'off'
    network.detach(this.address, survival === null ? 'killed' : 'power')
    this.#options.http?.detach(this.address)
    if (survival !== null) this.#disk = this.#disk.crash(survival, random.stream(`${this.#name} crash ${this.#boots}`))
    else this.#disk.forgetProcess()
  }

  /** Tells how often there was no room on the disk. */
  countNoRoom(): void {
    this.#options.happened?.('no room', this.#disk.refusals - this.#refusalsTold)
    this.#refusalsTold = this.#disk.refusals
  }

  /** The disk of a machine that is off is replaced by an empty one. */
  wipe(): void {
    this.#refusalsTold = 0
    this.#disk = openSimulatedDisk()
  }

  /** What its disk holds. */
  files(): Iterable<readonly [string, Buffer]> {
    return this.#disk.files()
  }

  /** Room beside what is there; null: no limit. */
  limitDisk(freeBytes: number | null): void {
    this.#disk.capacityBytes = freeBytes === null ? Number.POSITIVE_INFINITY : this.#disk.usedBytes + freeBytes
  }

  /** A bit changes in each SSTable of the clients' tables, or in the older half of what a segment of the commit log holds. */
  rot(where: 'table' | 'log'): void {
    const chance = this.#options.random.stream(`${this.#name} rot ${this.#rotten.length}`)
    const files = [...this.#disk.files()].filter(([path]) =>
      where === 'log' ? path.startsWith(`${DATA}/commitlog/`) : path.startsWith(TABLES) && path.endsWith('.sst'),
    )
    if (where === 'table') for (const file of files) this.#rotFile(file, file[1].length, chance)
    else if (files.length > 0) {
      const file = files[Math.floor(chance.float() * files.length)]!
      let end = file[1].length
      while (end > 0 && file[1][end - 1] === 0) end--
      this.#rotFile(file, end >> 1, chance)
    }
    // What was read before is read again.
    for (const cache of ['blocks', 'keys', 'rows'] as const) this.node?.store.caches.clear(cache)
  }

  #rotFile([path, before]: readonly [string, Buffer], end: number, chance: Random): void {
    if (end === 0) return
    // Much of a small file is what tells of its data.
    const at = Math.floor(chance.float() * (chance.float() < 0.7 ? end >> 1 : end))
    const now = Buffer.from(before)
    now[at]! ^= 1 << Math.floor(chance.float() * 8)
    this.#disk.overwrite(path, now)
    this.#rotten.push({ now, before })
    this.#options.happened?.(path.startsWith(TABLES) ? 'a bit of an SSTable' : 'a bit of the commit log')
    this.#options.say(`${this.#name}: a bit of ${path} at ${at} of ${before.length} is another one`)
  }

  /** Good copies in the place of what rots, wherever it lies by now. The node ends, to look at them when it starts. */
  restoreFiles(): void {
    if (this.#rotten.length === 0 && !this.#doubtsFiles) return
    this.crash(null)
    for (const { now, before } of this.#rotten.splice(0).reverse())
      for (const [path, content] of this.#disk.files()) if (content.equals(now)) this.#disk.overwrite(path, before)
    this.#doubtsFiles = false
  }

  /** As SIGTERM. Calls `then` when the process has ended. */
  stop(then: () => void): void {
    const { node } = this
    const process = this.#process
    if (node === null || process === null) return
    this.#phase = 'stopping'
    const ended = (): void => {
      if (this.#process !== process) return
      this.#phase = 'serving'
      this.crash(null)
      then()
    }
    node.close().then(ended, (error: Error) => {
      // What waits for room is not written any more, and the node's end tells of it.
      if (!this.#syncFailed && !this.#lackedRoom)
        this.#options.violation(`${this.#name} did not stop: ${error.stack ?? error.message}`)
      ended()
    })
  }

  pause(): void {
    this.disturbances.push(this.#options.kernel.nowMs)
    this.#process?.pause()
  }

  resume(): void {
    this.disturbances.push(this.#options.kernel.nowMs)
    this.#process?.resume()
  }

  #serveDisk(disk: SimulatedDisk, process: SimulatedProcess): void {
    const { random, syncMs, otherMs, say } = this.#options
    const chance = random.stream(`${this.#name} disk ${this.#boots}`)
    disk.onOperation = (operation, path) => {
      if (!process.isAlive) return new Promise<never>(() => {})
      if (operation === 'sync' && this.failsNextSync) {
        this.failsNextSync = false
        this.#syncFailed = true
        this.#options.happened?.('a sync that failed')
        say(`${this.#name}: a sync of ${path} fails`)
        throw diskError('EIO', path)
      }
      const { diskErrors } = this
      if (diskErrors?.operations.includes(operation) && chance.float() < diskErrors.chance) {
        this.#syncFailed = true
        this.#doubtsFiles = true
        this.#options.happened?.(`EIO, ${operation}`)
        throw diskError('EIO', path)
      }
      const meanMs = (operation === 'sync' || operation === 'syncDirectory' ? syncMs : otherMs) + this.extraDiskMs
      if (meanMs === 0) return undefined
      return new Promise<void>((resolve) => {
        process.clock.after(meanMs * (0.5 + chance.float()), resolve)
      })
    }
  }

  #log(say: (line: string) => void): Log {
    const line =
      (level: string) =>
      (source: string, message: string, cause?: unknown): void => {
        const why = cause instanceof Error ? `\n${cause.stack ?? cause.message}` : ''
        say(`${this.#name} ${level} ${source} ${message}${why}`)
      }
    return { trace() {}, debug() {}, info: line('INFO'), warn: line('WARN'), error: line('ERROR') }
  }
}
