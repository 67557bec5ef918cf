/**
 * A whole cluster and its clients in one process, run by one plan. Phase 1: requests under faults. Phase 2: everything heals, and the cluster has to
 * serve, agree, and show what the oracles expect.
 */
import { hash } from 'node:crypto'
import { Kernel } from '../../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork } from '../../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { WORKLOADS, type Workload, type WorkloadContext } from '../workloads/index.ts'
import { type Answer, type Ask, type Cell, CqlConnection } from './client.ts'
import { type Dice, diceOf } from './dice.ts'
import { applyFault, heal } from './faults.ts'
import { guardRealWorld } from './guard.ts'
import { type HttpAnswer, type HttpAsk, HttpWire } from './http.ts'
import { leave } from './leave.ts'
import { Machine, type WallSpan } from './node.ts'
import type { Plan } from './plan.ts'
import { kindOf, Tally } from './tally.ts'

export interface RunResult {
  /** Empty: all is well. */
  readonly problems: readonly string[]
  readonly trace: string
  readonly events: number
  readonly virtualMs: number
  readonly requests: number
  /** Requests that were done. */
  readonly succeeded: number
  /** The last lines of what happened. */
  readonly story: readonly string[]
  readonly tally: Tally
}

/** How long a cluster may take to form, and to serve everything after it has healed. */
const FORM_MS = 120_000
const HEAL_MS = 600_000
const RETRY_MS = 500
const STORY_LINES = 400
const CQL_PORT = 9042
export const KEYSPACE = 'sim'

/** Runs a plan from its first to its last event. */
export function runPlan(plan: Plan): Promise<RunResult> {
  return new World(plan).run()
}

export class World {
  readonly plan: Plan
  readonly kernel: Kernel
  readonly network: SimulatedNetwork
  readonly machines: Machine[] = []
  /** Null: nobody asks by it. */
  readonly http: HttpWire | null
  /** Called whenever a message was delivered: for faults that wait for something. */
  readonly watches = new Set<() => void>()
  readonly tally = new Tally()
  /** Faults that last, and have not ended. */
  #troubles = 0
  readonly #random
  readonly #problems: string[] = []
  readonly #story: string[] = []
  #requests = 0
  #succeeded = 0
  #timestamp = 0
  #clientsEnd = false

  constructor(plan: Plan) {
    this.plan = plan
    this.#random = createSeededRandom(plan.seed)
    this.kernel = new Kernel({ random: this.#random, hop: setImmediate })
    const { latencyMs, lossChance, fragmentChance } = plan.network
    this.network = new SimulatedNetwork({
      clock: this.kernel.clock,
      random: this.#random,
      conditions: { latencyMinMs: latencyMs / 4, latencyMs, lossChance },
      fragmentChance,
      onDelivered: (from, to, bytes) => this.#delivered(from, to, bytes),
    })
    this.http = plan.workloads.includes('keys') ? new HttpWire(latencyMs) : null
    this.#build()
  }

  say(line: string): void {
    this.#story.push(`${this.kernel.nowMs.toFixed(1)} ms ${line}`)
    if (this.#story.length > STORY_LINES) this.#story.shift()
  }

  /** A fault that lasts for so long. */
  troubled(fault: string, ms: number): void {
    this.tally.happened(fault)
    this.#troubles++
    this.kernel.clock.after(ms, () => {
      this.#troubles--
    })
  }

  violation(what: string): void {
    this.say(`VIOLATION ${what}`)
    if (this.#problems.length < 20) this.#problems.push(what)
    this.kernel.stop()
  }

  async run(): Promise<RunResult> {
    const rejected = (error: unknown): void =>
      this.violation(`unhandled rejection: ${error instanceof Error ? error.stack : String(error)}`)
    process.on('unhandledRejection', rejected)
    {
      using _guard = guardRealWorld((what) => this.violation(what))
      try {
        await this.#phases()
      } catch (error) {
        this.#problems.push(`uncaught: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
      }
    }
    process.off('unhandledRejection', rejected)
    this.#noteEnd()
    return {
      problems: this.#problems,
      trace: this.kernel.trace,
      events: this.kernel.events,
      virtualMs: this.kernel.nowMs,
      requests: this.#requests,
      succeeded: this.#succeeded,
      story: this.#story,
      tally: this.tally,
    }
  }

  /** Those that are there from the beginning. */
  get #founders(): Machine[] {
    return this.machines.filter((_, node) => !this.plan.late.some((one) => one.node === node))
  }

  #build(): void {
    const { plan } = this
    const datacenterOf = plan.datacenters.flatMap((size, dc) => Array.from({ length: size }, () => dc))
    const addresses = datacenterOf.map((_, node) => `10.0.0.${node + 1}`)
    const isLate = new Set(plan.late.map(({ node }) => node))
    const seeds = addresses.filter((_, node) => !isLate.has(node)).slice(0, 3)
    for (const [node, dc] of datacenterOf.entries()) {
      const machine = new Machine(
        {
          kernel: this.kernel,
          network: this.network,
          random: this.#random,
          address: addresses[node]!,
          settings: {
            ...plan.settings,
            dc: `dc${dc + 1}`,
            rack: `rack${(node % 3) + 1}`,
            seeds: addresses.length === 1 ? [] : seeds,
            ...(this.http !== null && {
              http_replication: new Map(plan.replication.map((count, i) => [`dc${i + 1}`, count])),
            }),
          },
          ...plan.disk,
          latenessMs: plan.latenessMs,
          http: this.http,
          say: (line) => this.say(line),
          happened: (fault, times) => this.tally.happened(fault, times),
          violation: (what) => this.violation(what),
        },
        `node${node + 1}`,
      )
      machine.wall.driftMicros = plan.driftMicros[node] ?? 0
      this.machines.push(machine)
      for (const [other, otherDc] of datacenterOf.entries())
        if (otherDc !== dc) {
          const { conditions } = this.network.link(addresses[node]!, addresses[other]!)
          conditions.latencyMinMs = plan.network.wanLatencyMs / 2
          conditions.latencyMs = plan.network.wanLatencyMs / 4
        }
    }
  }

  #delivered(from: string, to: string, bytes: Buffer): void {
    this.kernel.noteBytes(bytes)
    this.kernel.note(from.length * 31 + to.charCodeAt(to.length - 1))
    for (const watch of this.watches) watch()
  }

  /** Adds to the trace what passed by no wire: what is on the disks, and what came of it all. */
  #noteEnd(): void {
    for (const machine of this.machines) machine.countNoRoom()
    for (const machine of this.machines)
      for (const [path, content] of machine.files())
        this.kernel.noteBytes(hash('sha1', Buffer.concat([Buffer.from(path), content]), 'buffer'))
    this.kernel.note(this.#requests)
    this.kernel.note(this.#succeeded)
    for (const problem of this.#problems) this.kernel.noteBytes(Buffer.from(problem))
  }

  async #phases(): Promise<void> {
    const { kernel, plan } = this
    const dice = diceOf(this.#random.stream('world'))
    for (const machine of this.machines) {
      const startMs = dice.int(2_000)
      if (this.#founders.includes(machine)) kernel.clock.after(startMs, () => machine.start())
    }
    const workloads = plan.workloads.map((name) => WORKLOADS[name]!(plan))
    const setUp = this.#client('set-up', 0)
    await this.#finish(this.#createSchema(setUp, workloads), FORM_MS, 'the cluster does not form')
    if (this.#problems.length > 0) return
    this.say('phase 1')
    const fromMs = kernel.nowMs
    for (const { atMs, node } of plan.late) kernel.clock.after(atMs, () => this.machines[node]!.start())
    for (const { atMs, fault } of plan.faults) kernel.clock.after(atMs, () => applyFault(this, fault))
    const { leaving } = plan
    const left = leaving
      ? new Promise<void>((resolve) => void kernel.clock.after(leaving.atMs, resolve)).then(() => leave(this, leaving))
      : null
    const clients = Array.from({ length: plan.clients }, (_, i) =>
      this.#work(this.#client(`client ${i}`, i + 1), workloads),
    )
    await kernel.run(fromMs + plan.seconds * 1000)
    if (this.#problems.length > 0) return
    this.say('phase 2')
    this.#clientsEnd = true
    heal(this)
    const healed = (async () => {
      await Promise.all([...clients, left])
      const readers = [...this.machines.entries()]
        .filter(([, machine]) => !machine.isGone)
        .map(([node]) => this.#client(`reader ${node}`, 100 + node, node))
      for (const workload of workloads) await workload.settle?.(readers)
      for (const reader of readers) for (const workload of workloads) await workload.readAll(reader)
    })()
    await this.#finish(healed, HEAL_MS, 'the healed cluster does not serve')
    if (this.#problems.length > 0) return
    for (const [i, workload] of workloads.entries())
      for (const { key, what } of workload.check()) this.violation(`${plan.workloads[i]} ${key}: ${what}`)
  }

  /** Lets time go on until the promise settles, and complains when that takes too long. */
  async #finish(promise: Promise<void>, withinMs: number, complaint: string): Promise<void> {
    let isDone = false
    promise.then(
      () => {
        isDone = true
        this.kernel.stop()
      },
      (error: Error) => {
        isDone = true
        this.violation(`in the harness: ${error.stack ?? error.message}`)
      },
    )
    await this.kernel.run(this.kernel.nowMs + withinMs)
    if (!isDone && this.#problems.length === 0) this.violation(complaint)
  }

  async #createSchema(client: WorkloadContext, workloads: readonly Workload[]): Promise<void> {
    const { datacenters, replication } = this.plan
    const copies = replication.map((count, dc) => `'dc${dc + 1}': ${count}`).join(', ')
    void datacenters
    const statements = [
      `CREATE KEYSPACE IF NOT EXISTS ${KEYSPACE} WITH replication = {'class': 'NetworkTopologyStrategy', ${copies}}`,
      ...workloads.flatMap((workload) => [...workload.tables, ...(workload.others ?? [])]),
    ]
    while (this.#founders.some(({ node }) => node === null)) await client.sleep(50)
    for (const statement of statements) await client.insist(statement, [], 'ONE')
    const tables = workloads.flatMap((workload) => workload.tables).length
    for (const [node, machine] of this.machines.entries()) {
      if (!this.#founders.includes(machine)) continue
      const local = this.#client(`look ${node}`, 90, node)
      for (;;) {
        const rows = await local.insist(
          `SELECT table_name FROM system_schema.tables WHERE keyspace_name = '${KEYSPACE}'`,
          [],
          'ONE',
        )
        if (rows.length === tables) break
        await local.sleep(100)
      }
      local.close()
    }
    client.close()
  }

  async #work(client: WorkloadContext, workloads: readonly Workload[]): Promise<void> {
    while (!this.#clientsEnd) {
      await client.sleep(-Math.log(1 - client.dice.int(10_000) / 10_000) * this.plan.thinkMs)
      if (this.#clientsEnd) return client.close()
      await client.dice.pick(workloads).step(client)
    }
    client.close()
  }

  /** `node`: the only one that it talks to. */
  #client(name: string, number: number, node: number | null = null): WorkloadContext & { close(): void } {
    return new Client(this, name, number, node, diceOf(this.#random.stream(name)))
  }

  nextTimestamp(): number {
    return 1_700_000_000_000_000 + ++this.#timestamp * 1_000
  }

  counted(kind: string, isDone: boolean): void {
    this.#requests++
    if (!isDone) return
    this.#succeeded++
    const isTroubled = this.#troubles > 0 || this.machines.some(({ node, isGone }) => node === null && !isGone)
    this.tally.done(kind, isTroubled)
  }
}

/** Codes that a cluster in trouble may answer at any time. */
const EXPECTED = new Set([
  'UNAVAILABLE',
  'OVERLOADED',
  'IS_BOOTSTRAPPING',
  'WRITE_TIMEOUT',
  'READ_TIMEOUT',
  'READ_FAILURE',
  'WRITE_FAILURE',
  'CAS_WRITE_UNKNOWN',
  'TRUNCATE_ERROR',
])

class Client implements WorkloadContext {
  readonly process: number
  readonly dice: Dice
  readonly #world: World
  readonly #name: string
  readonly only: number | null
  readonly #clock
  readonly #door
  readonly #version: number
  readonly #prepares: boolean
  readonly #address: string
  #connection: CqlConnection | null = null
  #connectedTo = -1
  /** By node. */
  readonly #others = new Map<number, CqlConnection>()

  constructor(world: World, name: string, number: number, only: number | null, dice: Dice) {
    this.#world = world
    this.#name = name
    this.process = number
    this.only = only
    this.dice = dice
    this.#clock = world.kernel.process(name).clock
    this.#address = `10.0.1.${number + 1}`
    this.#door = world.network.attach(this.#address, this.#clock)
    this.#version = dice.pick([4, 5])
    this.#prepares = dice.chance(0.5)
  }

  now(): number {
    return this.#world.kernel.nowMs
  }

  wall(node: number): WallSpan {
    return this.#world.machines[node]!.wallSpan()
  }

  latestWallMicros(): number {
    return Math.max(...this.#world.machines.map((machine) => machine.latestWallMicros))
  }

  passTime(ms: number): void {
    for (const machine of this.#world.machines) machine.setWall({ skewMicros: machine.wall.skewMicros + ms * 1000 })
  }

  wasDisturbed(node: number, from: number, to: number): boolean {
    return this.#world.machines[node]!.disturbances.some((at) => at >= from && at <= to)
  }

  hintFiles(): number {
    let files = 0
    for (const machine of this.#world.machines)
      if (!machine.isGone) for (const [path] of machine.files()) if (path.endsWith('.hints')) files++
    return files
  }

  async compact(): Promise<void> {
    await Promise.all(this.#world.machines.map((machine) => machine.compact()))
  }

  nextTimestamp(): number {
    return this.#world.nextTimestamp()
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(ms, resolve)
    })
  }

  close(): void {
    this.#connection?.close()
    for (const connection of this.#others.values()) connection.close()
    this.#world.network.detach(this.#address, 'killed')
  }

  async ask(statement: string, values: readonly Cell[], ask: Ask): Promise<Answer> {
    const connection = await (ask.via === undefined ? this.#connected() : this.#kept(ask.via))
    if (connection === null) return { kind: 'lost', sent: false, why: 'no connection' }
    const answer = this.#prepares
      ? await connection.execute(statement, values, ask)
      : await connection.query(statement, values, ask)
    return this.#answered(statement, answer, ask)
  }

  async batch(
    items: readonly { readonly query: string; readonly values: readonly Cell[] }[],
    ask: Ask,
  ): Promise<Answer> {
    const connection = await this.#connected()
    if (connection === null) return { kind: 'lost', sent: false, why: 'no connection' }
    return this.#answered('BATCH', await connection.batch(items, ask), ask)
  }

  async http(ask: HttpAsk): Promise<HttpAnswer> {
    const { machines, http } = this.#world
    const node = this.only ?? this.dice.int(machines.length)
    const answer = await http!.ask(this.#clock, machines[node]!.address, ask)
    if (answer.kind === 'answer') this.#world.kernel.noteBytes(answer.body)
    this.#world.counted(`HTTP ${ask.method}`, answer.kind === 'answer' && answer.status < 400)
    // Who finds nobody there looks for another.
    if (answer.kind === 'lost') await this.sleep(10 + this.dice.int(90))
    return answer
  }

  async insist(
    statement: string,
    values: readonly Cell[],
    level: keyof typeof Consistency,
  ): Promise<readonly (readonly Cell[])[]> {
    for (let lastSaid = ''; ; ) {
      const answer = await this.ask(statement, values, { consistency: Consistency[level] })
      if (answer.kind === 'rows') return answer.rows
      if (answer.kind === 'void') return []
      const why =
        answer.kind === 'error' ? `${answer.code} ${answer.message}` : answer.kind === 'lost' ? answer.why : ''
      if (why !== lastSaid) this.#world.say(`${this.#name} repeats "${statement}" at ${level}: ${why}`)
      lastSaid = why
      await this.sleep(RETRY_MS)
    }
  }

  #answered(statement: string, answer: Answer, ask: Ask): Answer {
    const kind = kindOf(statement) + (ask.pagingState ? ', another page' : '')
    this.#world.counted(kind, answer.kind !== 'lost' && answer.kind !== 'error')
    if (answer.kind !== 'error' || EXPECTED.has(answer.code) || ask.expected?.includes(answer.code)) return answer
    // What could not be written to a disk that fails is nobody's bug.
    const { machines } = this.#world
    if (answer.code !== 'SERVER_ERROR' || !machines.some(({ hasFailedDisk }) => hasFailedDisk))
      this.#world.violation(`"${statement}" was answered ${answer.code} ${answer.message}`)
    return answer
  }

  async #connected(): Promise<CqlConnection | null> {
    if (this.#connection?.isOpen && !this.dice.chance(0.05)) return this.#connection
    const { machines } = this.#world
    if (!this.#connection?.isOpen) await this.sleep(10 + this.dice.int(90))
    const target = this.only ?? this.dice.int(machines.length)
    if (this.#connection?.isOpen && target === this.#connectedTo) return this.#connection
    this.#connection?.close()
    this.#connectedTo = target
    this.#connection = await this.#open(target)
    return this.#connection
  }

  async #kept(node: number): Promise<CqlConnection | null> {
    const known = this.#others.get(node)
    if (known?.isOpen) return known
    const connection = await this.#open(node)
    if (connection !== null) this.#others.set(node, connection)
    return connection
  }

  #open(node: number): Promise<CqlConnection | null> {
    return CqlConnection.open(this.#clock, this.#door, this.#world.machines[node]!.address, CQL_PORT, this.#version)
  }
}
