/**
 * A node of a cluster in one process, from start to start: what outlives it (its disk, its place in the network) and the node that runs now.
 * Always: a killed node does nothing more, and its disk keeps what it had written.
 */

import type { Settings } from '../../config/settings.ts'
import { listenHttpService } from '../../runtime/node/http-service.ts'
import { openNodePauses } from '../../runtime/node/pauses.ts'
import { processMemory } from '../../runtime/node/process-memory.ts'
import type { Clock, Disk, Log, Network, Random, Runtime } from '../../runtime/runtime.ts'
import { createSimulatedJobs } from '../../runtime/simulated/jobs.ts'
import { openNode, type StartedNode } from '../assembly.ts'
import type { NodeDoors } from '../doors.ts'
import { Mortality, mortalClock, mortalDisk, mortalHttp, mortalNetwork } from './mortal.ts'
import type { Wires } from './wires.ts'

export interface MachineOptions {
  /** From 1. */
  readonly number: number
  readonly settings: Settings
  readonly clock: Clock
  readonly disk: Disk
  /** Of a disk in memory: the process that had it is gone. */
  forgetProcess?(): void
  readonly network: Network
  readonly random: Random
  readonly wires: Wires
  readonly log: Log
}

export class Machine {
  readonly number: number
  readonly settings: Settings
  readonly #options: MachineOptions
  #life: Mortality | null = null
  #node: StartedNode | null = null

  constructor(options: MachineOptions) {
    this.#options = options
    this.number = options.number
    this.settings = options.settings
  }

  /** Null: it does not run. */
  get node(): StartedNode | null {
    return this.#node
  }

  async start(): Promise<StartedNode> {
    if (this.#life) throw new Error(`node ${this.number} runs already`)
    const life = new Mortality()
    this.#life = life
    try {
      this.#node = await openNode({ settings: this.settings, memory: false, warnings: [] }, this.#doors(life))
      return this.#node
    } catch (error) {
      this.#life = null
      throw error
    }
  }

  /** Answers what is in flight, tells the others, writes everything down. */
  async stop(): Promise<void> {
    const node = this.#node
    this.#node = null
    await node?.close()
    this.#life = null
  }

  /** As kill -9: the others are told nothing, and what was not written yet is lost. */
  async kill(): Promise<void> {
    const life = this.#life
    this.#node = null
    this.#life = null
    await life?.die()
    this.#options.forgetProcess?.()
  }

  #doors(life: Mortality): NodeDoors {
    const clock = mortalClock(this.#options.clock, life)
    const disk = mortalDisk(this.#options.disk, life)
    const random = this.#options.random
    const pauses = openNodePauses()
    const mourning = life.atDeath(() => pauses[Symbol.dispose]())
    const runtime: Runtime = {
      clock,
      random,
      disk,
      network: mortalNetwork(this.#wired(clock), life),
      // In place: a thread would not die with the node, nor see its clock.
      jobs: createSimulatedJobs({ clock, disk, random }),
      log: this.#options.log,
    }
    return {
      runtime,
      pauses,
      listenHttp: mortalHttp(listenHttpService, life),
      memory: processMemory,
      async [Symbol.asyncDispose]() {
        mourning[Symbol.dispose]()
        pauses[Symbol.dispose]()
      },
    }
  }

  /** Connections to other nodes go through the cluster's wires. */
  #wired(clock: Clock): Network {
    const { network, wires, number } = this.#options
    const sleep = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))
    return {
      listen: (address, port, accept) => network.listen(address, port, accept),
      connect(address, port, options = {}) {
        const dial = () => network.connect(address, port, options)
        const to = wires.at(address, port)
        return to === null || to === number ? dial() : wires.connect(number, to, options, dial, sleep)
      },
    }
  }
}
