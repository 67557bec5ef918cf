/**
 * A machine of the simulated world: its disk, its address, and the node that runs on it now. The node is the real assembly with simulated doors.
 * Always: a dead node's code runs no more, its disk keeps what a real one would keep.
 */
import { defaultSettings } from '../../../lib/config/load.ts'
import type { Settings } from '../../../lib/config/settings.ts'
import type { Log, Random } from '../../../lib/runtime/runtime.ts'
import { diskError, openSimulatedDisk, type SimulatedDisk } from '../../../lib/runtime/simulated/disk.ts'
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
  /** What must not happen. */
  violation(what: string): void
}

const NO_PAUSES = { count: 0, totalMs: 0, longestMs: 0 }
const DATA = '/data'

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
  extraDiskMs = 0
  /** It has left the cluster: it never starts again. */
  isGone = false
  /** The next sync fails. */
  failsNextSync = false
  /** A sync failed since the last start began: more may fail than otherwise. */
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

  get hasFailedDisk(): boolean {
    return this.#syncFailed
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
    const { network, random } = this.#options
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

  /** The disk of a machine that is off is replaced by an empty one. */
  wipe(): void {
    this.#disk = openSimulatedDisk()
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
      if (!this.#syncFailed) this.#options.violation(`${this.#name} did not stop: ${error.stack ?? error.message}`)
      ended()
    })
  }

  pause(): void {
    this.#process?.pause()
  }

  resume(): void {
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
        say(`${this.#name}: a sync of ${path} fails`)
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
