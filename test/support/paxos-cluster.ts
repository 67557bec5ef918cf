/**
 * Lightweight transactions of several nodes over one virtual time: real coordinators and acceptors over messages that are lost, doubled and overtaken,
 * clocks that are wrong, and nodes that die at any moment, with what they had not synced. Clients note what they are told; checkRegister judges.
 * The storage of a node is a map with a disk behind it: what was applied is seen at once, and survives once its sync is through.
 */
import type { CoordinatorEnvironment } from '../../cluster/coordinator/environment.ts'
import { PaxosCoordinator } from '../../cluster/coordinator/paxos.ts'
import { PaxosCleaner } from '../../cluster/coordinator/paxos-cleanup.ts'
import type { PaxosReads } from '../../cluster/coordinator/paxos-transaction.ts'
import { WritePlans } from '../../cluster/coordinator/write-plans.ts'
import type { Handler, Messenger, Payload, ReplyHandler } from '../../cluster/internode/messenger.ts'
import { BallotSource } from '../../cluster/paxos/ballot.ts'
import { Placements } from '../../cluster/ring/placement.ts'
import type { RingNode, Topology } from '../../cluster/ring/topology.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure, RequestError } from '../../lib/base/errors.ts'
import { Kernel, type SimulatedProcess } from '../../lib/runtime/simulated/kernel.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { encodePosition } from '../../lib/types/partition-key.ts'
import { type ReadCommand, type ReadResult, RowData } from '../../storage/model/command.ts'
import { LastWriteWins } from '../../storage/model/merge.ts'
import { History, type Violation } from '../simulation/oracles/history.ts'
import { checkRegister, type RegisterInput, type RegisterOutput } from '../simulation/oracles/registers.ts'
import { type PaxosPlant, PlantedAcceptor, PlantedStore } from './paxos-plants.ts'
import { Disk, FakeStorage, mergeRows, mutation, readCommand, ringNode, TABLE, valueIn } from './paxos-storage.ts'
import { createDice, type Dice } from './random.ts'
import { REQUEST_TIMEOUTS } from './timeouts.ts'

export interface PaxosRunOptions {
  readonly seed: number
  readonly operations: number
  readonly plant?: PaxosPlant | null
}

export interface PaxosFindings {
  readonly violations: readonly Violation[]
  readonly operations: number
  readonly counts: Readonly<Record<'applied' | 'refused' | 'reads' | 'unknown' | 'failed', number>>
  readonly crashes: number
  readonly events: number
  readonly trace: string
}

const KEYSPACE = 'k'
const READ_VERB = 21

export async function runPaxos({ seed, operations, plant = null }: PaxosRunOptions): Promise<PaxosFindings> {
  const world = new World(seed, plant)
  await world.run(operations)
  return world.findings()
}

interface SimulatedNode {
  readonly ring: RingNode
  readonly disk: Disk
  running: Running | null
}

interface Running {
  readonly process: SimulatedProcess
  readonly storage: FakeStorage
  readonly handlers: Map<number, Handler>
  readonly coordinator: PaxosCoordinator
  /** Requests whose answers are waited for. */
  readonly waiting: Map<number, { readonly reply: ReplyHandler; readonly to: string; readonly timer: Disposable }>
  /** Told when it dies. */
  readonly deaths: Set<() => void>
}

class World {
  readonly kernel: Kernel
  readonly #dice: Dice
  readonly #plant: PaxosPlant | null
  readonly #nodes: SimulatedNode[]
  readonly #topology: Topology
  readonly #placements = new Placements()
  readonly #history = new History<RegisterInput, RegisterOutput>()
  readonly #keys: Buffer[]
  readonly #lossChance: number
  readonly #delayMs: number
  readonly #crashEveryMs: number
  readonly #awayMs: number
  readonly #slowChance: number
  /** Registers are forgotten after so little rest; null: never. */
  readonly restMs: number | null
  readonly #readsAlong: boolean
  readonly #skews: number[]
  readonly #cut = new Set<string>()
  readonly #law = new LastWriteWins()
  readonly #out = new ByteWriter(256)
  readonly #counts = { applied: 0, refused: 0, reads: 0, unknown: 0, failed: 0 }
  #values = 0
  #messages = 0
  #crashes = 0
  #left = 0
  #bugs: unknown[] = []

  constructor(seed: number, plant: PaxosPlant | null) {
    this.#dice = createDice(seed)
    this.#plant = plant
    this.kernel = new Kernel({ random: createSeededRandom(seed), hop: (run) => setImmediate(run) })
    const count = this.#dice.pick([3, 3, 5])
    const twoCenters = this.#dice.chance(0.2)
    this.#nodes = Array.from({ length: count }, (_, i) => ({
      ring: ringNode(i, twoCenters && i % 2 === 1 ? 'dc2' : 'dc1'),
      disk: new Disk(),
      running: null,
    }))
    this.#topology = { nodes: new Map(this.#nodes.map(({ ring }) => [ring.hostId, ring])) }
    this.#keys = Array.from({ length: 1 + this.#dice.int(4) }, (_, i) =>
      encodePosition(Buffer.of(i), new Int32Array(2)),
    )
    this.#lossChance = this.#dice.pick([0, 0.01, 0.05, 0.15])
    this.#delayMs = this.#dice.pick([0.3, 2, 10])
    this.#crashEveryMs = this.#dice.pick([10, 50, 200, 1000, 5000, Number.POSITIVE_INFINITY])
    this.#awayMs = this.#dice.pick([3, 30, 500])
    this.#slowChance = this.#dice.pick([0, 0.01, 0.1])
    this.restMs = this.#dice.pick([null, 0, 20, 300])
    this.#readsAlong = this.#dice.chance(0.7)
    this.#skews = this.#nodes.map(() => this.#dice.pick([0, 1, 50, -50, 3000, -3000]) * 1000)
  }

  async run(operations: number): Promise<void> {
    this.#left = operations
    for (const node of this.#nodes) this.#start(node)
    const clients = 1 + this.#dice.int(8)
    let running = clients
    const done = (): void => {
      running -= 1
      if (running === 0) this.kernel.stop()
    }
    for (let i = 0; i < clients; i++) void this.#client(i).then(done, (bug: unknown) => this.#fail(bug))
    this.#scheduleFaults()
    await this.kernel.run(Number.POSITIVE_INFINITY)
    if (this.#bugs.length > 0) throw this.#bugs[0]
  }

  #fail(bug: unknown): void {
    this.#bugs.push(bug)
    this.kernel.stop()
  }

  findings(): PaxosFindings {
    return {
      violations: checkRegister(this.#history),
      operations: this.#history.size,
      counts: this.#counts,
      crashes: this.#crashes,
      events: this.kernel.events,
      trace: this.kernel.trace,
    }
  }

  #scheduleFaults(): void {
    const crash = (): void => {
      const alive = this.#nodes.filter(({ running }) => running !== null)
      const most = this.#dice.chance(0.1) ? this.#nodes.length : (this.#nodes.length - 1) >> 1
      if (this.#nodes.length - alive.length < most) this.#crash(this.#dice.pick(alive))
      this.kernel.clock.after(this.#dice.int(2 * this.#crashEveryMs), crash)
    }
    if (Number.isFinite(this.#crashEveryMs)) this.kernel.clock.after(this.#dice.int(this.#crashEveryMs), crash)
    const cut = (): void => {
      this.#cut.clear()
      if (this.#dice.chance(0.5)) {
        const [a, b] = [this.#dice.pick(this.#nodes), this.#dice.pick(this.#nodes)]
        this.#cut.add(`${a.ring.endpoint}>${b.ring.endpoint}`)
        if (this.#dice.chance(0.5)) this.#cut.add(`${b.ring.endpoint}>${a.ring.endpoint}`)
      }
      this.kernel.clock.after(this.#dice.int(3000), cut)
    }
    if (this.#dice.chance(0.4)) cut()
  }

  #crash(node: SimulatedNode): void {
    const { running } = node
    if (running === null) return
    this.#crashes += 1
    running.process.kill()
    running.storage.crash()
    node.running = null
    for (const told of running.deaths) told()
    const index = this.#nodes.indexOf(node)
    if (this.#dice.chance(0.3)) this.#skews[index] = this.#dice.pick([0, 100_000, -100_000, -2_000_000])
    this.kernel.clock.after(1 + this.#dice.int(this.#awayMs), () => this.#start(node))
  }

  #start(node: SimulatedNode): void {
    const { ring, disk } = node
    const process = this.kernel.process(ring.endpoint)
    process.wall.skewMicros = this.#skews[this.#nodes.indexOf(node)]!
    const { clock } = process
    const storage = new FakeStorage(disk, clock, this.#dice, this.#plant)
    const handlers = new Map<number, Handler>()
    const waiting: Running['waiting'] = new Map()
    const messenger = this.#messenger(node, handlers, waiting, clock)
    let last = 0
    const environment: CoordinatorEnvironment = {
      clock,
      random: createSeededRandom(this.#dice.int(2 ** 30)),
      messenger,
      liveness: {
        isAlive: (hostId) => this.#nodes.some((other) => other.ring.hostId === hostId && other.running !== null),
        listen: () => ({ [Symbol.dispose]() {} }),
      },
      self: () => ring,
      nodes: () => this.#topology.nodes,
      replica: {
        apply: (mutations) => storage.apply(mutations),
        read: (command) => storage.read(command),
        resolution: () => new LastWriteWins(),
        truncate: async () => {},
      },
      placement: () => {
        const centers = [...new Set(this.#nodes.map((one) => one.ring.datacenter))]
        const datacenters = new Map(
          centers.map((name) => [name, this.#nodes.filter((one) => one.ring.datacenter === name).length]),
        )
        const strategy = 'org.apache.cassandra.locator.NetworkTopologyStrategy'
        const replication = { strategy, factor: this.#nodes.length, datacenters }
        return { placement: this.#placements.of(replication, this.#topology), replication }
      },
      keyspaceOf: () => KEYSPACE,
      epoch: () => 1,
      ringEpoch: () => 0,
      catchUp: async () => {},
      timestampMicros: () => {
        if (this.#plant === 'ballot promised twice') return Math.floor(this.kernel.nowMs / 20)
        last = Math.max(last + 1, clock.wallMicros())
        return last
      },
      observe: (micros) => {
        last = Math.max(last, micros)
      },
      hints: { store() {}, mayStore: () => false },
      timeouts: REQUEST_TIMEOUTS,
      report: (cause) => this.#fail(cause),
    }
    // Who is dead is known only at the next look: a plan is never kept here.
    const plans = new WritePlans({ ...environment, epoch: () => this.kernel.events })
    const readRow = (position: Buffer): Buffer => storage.rowOf(position)
    const store = new PlantedStore(environment.replica, this.#plant)
    const ballots = new BallotSource(ring.hostId, () => environment.timestampMicros())
    const acceptor = new PlantedAcceptor(
      {
        environment,
        store,
        marks: { takes: () => this.#plant !== 'commit lost' || this.#dice.chance(0.8) },
        read: (position) => Buffer.from(readRow(position)),
      },
      this.#plant,
    )
    handlers.set(READ_VERB, ({ payload }) => Buffer.from(readRow(Buffer.from(payload))))
    const reads: PaxosReads = {
      encode: ({ target }) => (this.#readsAlong && target.kind === 'partition' ? target.position : null),
      merge: (command, answers) =>
        this.#merged(command, this.#plant === 'read at one replica' ? answers.slice(0, 1) : answers),
      read: (command) => this.#quorumRead(command, messenger, clock, readRow),
    }
    const coordinator = new PaxosCoordinator({ environment, acceptor, plans, reads, ballots })
    coordinator.register(messenger)
    const { restMs } = this
    if (restMs !== null)
      new PaxosCleaner({ environment, acceptor, store, ballots, everyMs: 1 + this.#dice.int(100), restMs }).start()
    node.running = { process, storage, handlers, coordinator, waiting, deaths: new Set() }
  }

  #merged(command: ReadCommand, answers: readonly Buffer[]): ReadResult {
    const { target } = command
    const position = target.kind === 'partition' ? target.position : Buffer.alloc(0)
    let row: Buffer | null = null
    for (const answer of answers) {
      if (answer.length === 0) continue
      row = row === null ? answer : mergeRows(this.#law, this.#out, row, answer)
    }
    const rows = row === null ? [] : [RowData.of(Buffer.alloc(0), row)]
    return { partitions: [{ position, key: position.subarray(10), staticRow: null, rows }], more: false, tombstones: 0 }
  }

  #quorumRead(
    command: ReadCommand,
    messenger: Messenger,
    clock: SimulatedProcess['clock'],
    own: (position: Buffer) => Buffer,
  ): Promise<ReadResult> {
    const position = command.target.kind === 'partition' ? command.target.position : Buffer.alloc(0)
    const quorum = (this.#nodes.length >> 1) + 1
    return new Promise((resolve, reject) => {
      const answers: Buffer[] = []
      let failed = 0
      const hear = (answer: Buffer): void => {
        answers.push(answer)
        if (answers.length === quorum) resolve(this.#merged(command, answers))
      }
      for (const { ring } of this.#nodes) {
        if (ring.endpoint === messenger.self.endpoint) {
          clock.soon(() => hear(Buffer.from(own(position))))
          continue
        }
        messenger.request(ring.endpoint, READ_VERB, position, 1000, {
          replied: (_, payload) => hear(Buffer.from(payload)),
          failed: () => {
            failed += 1
            if (failed === this.#nodes.length - quorum + 1)
              reject(new RequestError('READ_TIMEOUT', 'too few', { consistency: Consistency.QUORUM }))
          },
        })
      }
    })
  }

  #messenger(
    node: SimulatedNode,
    handlers: Map<number, Handler>,
    waiting: Running['waiting'],
    clock: SimulatedProcess['clock'],
  ): Messenger {
    const { hostId, endpoint } = node.ring
    return {
      self: { hostId, endpoint },
      handle: (verb, handler) => {
        handlers.set(verb, handler)
      },
      send: (to, verb, payload) => {
        this.#transmit(endpoint, to, () => this.#deliver(node, to, verb, bytesOf(payload), null))
        return true
      },
      request: (to, verb, payload, timeoutMs, reply) => {
        const id = ++this.#messages
        const bytes = Buffer.from(bytesOf(payload))
        const timer = clock.after(timeoutMs, () => {
          waiting.delete(id)
          reply.failed(to, FailureReason.TIMEOUT)
        })
        waiting.set(id, { reply, to, timer })
        this.#transmit(endpoint, to, () => this.#deliver(node, to, verb, bytes, id))
      },
      counts: () => {
        throw new Error('nobody asks')
      },
      close: async () => {},
    }
  }

  /** Once, never or twice; in no order. */
  #transmit(from: string, to: string, arrive: () => void): void {
    if (this.#cut.has(`${from}>${to}`) || this.#dice.chance(this.#lossChance)) return
    const copies = this.#dice.chance(0.03) ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const slow = this.#dice.chance(this.#slowChance) ? this.#dice.pick([10, 300]) : 1
      this.kernel.clock.after((0.1 + (this.#dice.int(1000) / 1000) * this.#delayMs) * slow, arrive)
    }
  }

  #deliver(from: SimulatedNode, to: string, verb: number, payload: Buffer, id: number | null): void {
    const node = this.#nodes.find(({ ring }) => ring.endpoint === to)!
    const { running } = node
    if (running === null) return
    const answer = (given: Payload | undefined): void => {
      if (id === null || node.running !== running) return
      const bytes = Buffer.from(bytesOf(given ?? Buffer.alloc(0)))
      this.#transmit(to, from.ring.endpoint, () => this.#answered(from, id, (reply) => reply.replied(to, bytes)))
    }
    const fail = (cause: unknown): void => {
      if (!(cause instanceof ReplicaFailure)) this.#fail(cause)
      else if (id !== null)
        this.#transmit(to, from.ring.endpoint, () =>
          this.#answered(from, id, (reply) => reply.failed(to, cause.reasonCode)),
        )
    }
    try {
      const sender = { hostId: from.ring.hostId, endpoint: from.ring.endpoint }
      const given = running.handlers.get(verb)!({ verb, from: sender, payload, epoch: 1, remainingMs: 1000 })
      if (given instanceof Promise) given.then(answer, fail)
      else answer(given)
    } catch (cause) {
      fail(cause)
    }
  }

  #answered(node: SimulatedNode, id: number, tell: (reply: ReplyHandler) => void): void {
    const waiting = node.running?.waiting.get(id)
    if (waiting === undefined) return
    node.running!.waiting.delete(id)
    waiting.timer[Symbol.dispose]()
    tell(waiting.reply)
  }

  async #client(number: number): Promise<void> {
    while (this.#left > 0 && this.#bugs.length === 0) {
      this.#left -= 1
      const node = this.#dice.pick(this.#nodes)
      if (node.running === null) {
        await this.#sleep(5)
        continue
      }
      const key = this.#dice.int(this.#keys.length)
      await this.#operate(number, node.running, `key ${key}`, this.#keys[key]!)
      if (this.#dice.chance(0.3)) await this.#sleep(this.#dice.int(20))
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.kernel.clock.after(ms, resolve))
  }

  /** What each client believes is there: it compares with that, mostly. */
  readonly #believed = new Map<string, string | null>()

  async #operate(client: number, running: Running, key: string, position: Buffer): Promise<void> {
    const believed = this.#believed.get(`${client} ${key}`) ?? null
    const expected = this.#dice.chance(0.9) ? believed : null
    const input: RegisterInput = this.#dice.chance(0.25)
      ? { kind: 'read' }
      : { kind: 'cas', expected, value: this.#dice.chance(0.1) ? null : this.#changed(expected) }
    const operation = this.#history.invoke(client, key, input, this.kernel.nowMs)
    const died = new Promise<'died'>((resolve) => running.deaths.add(() => resolve('died')))
    const answered = this.#perform(running, position, input)
    try {
      const output = await Promise.race([answered, died])
      if (output === 'died') {
        answered.catch(() => {})
        this.#counts.unknown += 1
        return
      }
      this.#history.complete(operation, output, this.kernel.nowMs)
      this.#note(client, key, input, output)
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      if (error.code === 'UNAVAILABLE') {
        this.#history.fail(operation, this.kernel.nowMs)
        this.#counts.failed += 1
        await this.#sleep(5)
      } else this.#counts.unknown += 1
    }
  }

  /** Another value for one of the columns, or for both. */
  #changed(before: string | null): string {
    const columns = before === null ? ['-', '-'] : before.split('|')
    const which = this.#dice.int(3)
    if (which !== 1) columns[0] = `v${++this.#values}`
    if (which !== 0) columns[1] = `v${++this.#values}`
    return columns.join('|')
  }

  #note(client: number, key: string, input: RegisterInput, output: RegisterOutput): void {
    const name = `${client} ${key}`
    if (output.kind === 'read') {
      this.#counts.reads += 1
      this.#believed.set(name, output.value)
    } else if (output.kind === 'cas' && input.kind === 'cas') {
      this.#counts[output.applied ? 'applied' : 'refused'] += 1
      this.#believed.set(name, output.applied ? input.value : output.found)
    }
  }

  async #perform({ coordinator, process }: Running, position: Buffer, input: RegisterInput): Promise<RegisterOutput> {
    const read = readCommand(position)
    if (input.kind !== 'cas') {
      const found = await coordinator.readSerially(read, Consistency.SERIAL, KEYSPACE)
      return { kind: 'read', value: valueIn(found) }
    }
    let found: string | null = null
    const applied = await coordinator.cas({
      table: TABLE,
      keyspace: KEYSPACE,
      position,
      serial: Consistency.SERIAL,
      commit: this.#dice.pick([Consistency.QUORUM, Consistency.ONE, Consistency.ANY]),
      read,
      decide: (result, { timestamp }) => {
        found = valueIn(result)
        if (found !== input.expected) return null
        const nowSeconds = Math.floor(process.clock.wallMicros() / 1e6)
        return [mutation(position, input, timestamp!, nowSeconds)]
      },
    })
    return { kind: 'cas', applied, found: applied ? null : found }
  }
}

function bytesOf(payload: Payload): Buffer {
  return payload instanceof Uint8Array ? Buffer.from(payload) : Buffer.concat(payload)
}
