/** What clients of lightweight transactions are told when replicas are too few, silent or failing: codes, levels, counts as Cassandra's. */
import t from 'tap'
import type { CoordinatorEnvironment } from '../../../cluster/coordinator/environment.ts'
import { PaxosCoordinator } from '../../../cluster/coordinator/paxos.ts'
import { PaxosAcceptor } from '../../../cluster/coordinator/paxos-acceptor.ts'
import { PaxosStore } from '../../../cluster/coordinator/paxos-state.ts'
import { WritePlans } from '../../../cluster/coordinator/write-plans.ts'
import type { Handler, Messenger, Payload } from '../../../cluster/internode/messenger.ts'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { BallotSource } from '../../../cluster/paxos/ballot.ts'
import type { Placement } from '../../../cluster/ring/placement.ts'
import type { RingNode } from '../../../cluster/ring/topology.ts'
import { FailureReason, RequestError } from '../../../lib/base/errors.ts'
import { createSimulatedClock } from '../../../lib/runtime/simulated/clock.ts'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { encodePosition } from '../../../lib/types/partition-key.ts'
import { RowData } from '../../../storage/model/command.ts'
import { LastWriteWins } from '../../../storage/model/merge.ts'
import {
  Disk,
  FakeStorage,
  mutation,
  PAXOS_TABLE,
  readCommand,
  ringNode,
  TABLE,
  valueIn,
} from '../../support/paxos-storage.ts'
import { createDice } from '../../support/random.ts'
import { REQUEST_TIMEOUTS } from '../../support/timeouts.ts'

/** 'behind': as long as the coordinator has not caught up it refuses. */
type Broken = 'silent' | 'failing' | 'answer lost' | 'behind'

/** Replicas 0 to 2, and perhaps more that are to be; the coordinator is the first. */
class Trio {
  readonly clock = createSimulatedClock()
  readonly nodes: RingNode[]
  readonly dead = new Set<string>()
  /** By 'node verb' (0 is the first node): what it does in place of answering. */
  readonly broken = new Map<string, Broken>()
  /** By number: those who hold the partition, as the coordinator knows it; null: all but those to be. */
  holders: readonly number[] | null = null
  /** Those who do when it has caught up; null: it cannot. */
  later: readonly number[] | null = null
  epoch = 1
  ringEpoch = 0
  readonly sent: number[] = []
  readonly hinted: string[] = []
  readonly coordinator: PaxosCoordinator
  readonly position = encodePosition(Buffer.from('k'), new Int32Array(2))
  readonly #handlers: Map<number, Handler>[] = []

  constructor(datacenters = ['dc1', 'dc1', 'dc1'], pending = 0) {
    this.nodes = datacenters.map((name, i) => ringNode(i, name))
    const coordinators = this.nodes.map((_, i) => this.#open(i, pending))
    this.coordinator = coordinators[0]!
  }

  #open(i: number, pending: number): PaxosCoordinator {
    const { clock, nodes } = this
    const storage = new FakeStorage(new Disk(), clock, createDice(i), null)
    const handlers = new Map<number, Handler>()
    this.#handlers.push(handlers)
    const natural = nodes.slice(0, nodes.length - pending)
    const counts = new Map<string, number>()
    for (const { datacenter } of natural) counts.set(datacenter, (counts.get(datacenter) ?? 0) + 1)
    const replication = { strategy: 'NetworkTopologyStrategy', factor: natural.length, datacenters: counts }
    const replicas = { natural, pending: nodes.slice(nodes.length - pending), index: 0 }
    const environment: CoordinatorEnvironment = {
      clock,
      random: createSeededRandom(i),
      messenger: this.#messenger(i, handlers),
      liveness: { isAlive: (hostId) => !this.dead.has(hostId), listen: () => ({ [Symbol.dispose]() {} }) },
      self: () => nodes[i]!,
      nodes: () => new Map(nodes.map((node) => [node.hostId, node])),
      replica: {
        apply: (mutations) => storage.apply(mutations),
        read: (command) => storage.read(command),
        resolution: () => new LastWriteWins(),
        truncate: async () => {},
      },
      placement: () => {
        const holders = this.holders?.map((number) => nodes[number]!)
        const at = () => (holders ? { natural: holders, pending: [], index: 0 } : replicas)
        return { placement: { at } as unknown as Placement, replication }
      },
      keyspaceOf: () => 'k',
      epoch: () => this.epoch,
      ringEpoch: () => this.ringEpoch,
      catchUp: async (epoch) => {
        if (this.later === null) return
        this.holders = this.later
        this.epoch = epoch
        this.ringEpoch = epoch
      },
      timestampMicros: () => clock.wallMicros() + i,
      observe() {},
      hints: {
        store: (hostId) => {
          this.hinted.push(hostId)
        },
        mayStore: () => true,
      },
      timeouts: REQUEST_TIMEOUTS,
      report: (cause) => {
        throw cause
      },
    }
    const acceptor = new PaxosAcceptor({
      environment,
      store: new PaxosStore(environment.replica, PAXOS_TABLE),
      marks: { takes: () => true },
      read: (position) => Buffer.from(storage.rowOf(position)),
    })
    const coordinator = new PaxosCoordinator({
      environment,
      acceptor,
      plans: new WritePlans(environment),
      ballots: new BallotSource(nodes[i]!.hostId, () => environment.timestampMicros()),
      reads: {
        encode: () => this.position,
        merge: ({ target }, answers) => {
          const position = target.kind === 'partition' ? target.position : Buffer.alloc(0)
          const row = answers.find(({ length }) => length > 0)
          const rows = row === undefined ? [] : [RowData.of(Buffer.alloc(0), row)]
          return {
            partitions: [{ position, key: position.subarray(10), staticRow: null, rows }],
            more: false,
            tombstones: 0,
          }
        },
        read: () => Promise.reject(new Error('nothing is read twice')),
      },
    })
    coordinator.register(environment.messenger)
    return coordinator
  }

  #messenger(i: number, handlers: Map<number, Handler>): Messenger {
    const { hostId, endpoint } = this.nodes[i]!
    return {
      self: { hostId, endpoint },
      handle: (verb, handler) => {
        handlers.set(verb, handler)
      },
      send: () => false,
      request: (to, verb, payload, timeoutMs, reply) => {
        this.sent.push(verb)
        const bytes = bytesOf(payload)
        const node = this.nodes.findIndex((other) => other.endpoint === to)
        const how = this.broken.get(`${node} ${verb}`)
        const fail = (reason: number, ms: number) => this.clock.after(ms, () => reply.failed(to, reason))
        if (how === 'silent') fail(FailureReason.TIMEOUT, timeoutMs)
        else if (how === 'failing') fail(FailureReason.UNKNOWN, 1)
        else if (how === 'behind' && this.epoch === 1) fail(FailureReason.COORDINATOR_BEHIND, 1)
        else
          this.clock.after(1, async () => {
            const message = { verb, from: { hostId, endpoint }, payload: bytes, epoch: this.epoch, remainingMs: 1000 }
            const answer = await this.#handlers[node]!.get(verb)!(message)
            if (how === 'answer lost') fail(FailureReason.TIMEOUT, timeoutMs)
            else reply.replied(to, bytesOf(answer ?? Buffer.alloc(0)))
          })
      },
      counts: () => {
        throw new Error('nobody asks')
      },
      close: async () => {},
    }
  }

  async #wait<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    const over = () => {
      isOver = true
    }
    promise.then(over, over)
    for (let ms = 0; !isOver && ms < 20_000; ms += 10) await this.clock.advance(10)
    return await promise
  }

  /** Whether it was applied, or what the client is told. */
  async cas(
    expected: string | null,
    value: string,
    commit: number = Consistency.QUORUM,
    serial: number = Consistency.SERIAL,
  ): Promise<unknown> {
    const cas = this.coordinator.cas({
      table: TABLE,
      keyspace: 'k',
      position: this.position,
      serial,
      commit,
      read: readCommand(this.position),
      decide: (found, { timestamp }) =>
        valueIn(found) === expected
          ? [mutation(this.position, { kind: 'cas', expected, value }, timestamp!, 1_700_000_000)]
          : null,
    })
    return await this.#wait(cas).catch(said)
  }

  async read(level: number = Consistency.SERIAL): Promise<unknown> {
    const read = this.coordinator.readSerially(readCommand(this.position), level, 'k')
    return await this.#wait(read.then(valueIn)).catch(said)
  }

  break(verb: number, how: Broken, ...nodes: number[]): void {
    for (const node of nodes) this.broken.set(`${node} ${verb}`, how)
  }
}

function said(error: unknown): unknown {
  if (!(error instanceof RequestError)) throw error
  return { code: error.code, message: error.message, ...error.fields }
}

function bytesOf(payload: Payload): Buffer {
  return payload instanceof Uint8Array ? Buffer.from(payload) : Buffer.concat(payload)
}

t.test('all is well: three round trips, then a read in one', async (t) => {
  const trio = new Trio()
  t.equal(await trio.cas(null, 'a|-'), true)
  t.same([...new Set(trio.sent.splice(0))], [Verb.PAXOS_PREPARE, Verb.PAXOS_PROPOSE, Verb.PAXOS_COMMIT])
  t.equal(await trio.read(), 'a|-')
  t.same([...new Set(trio.sent.splice(0))], [Verb.PAXOS_READ], 'without a promise')
  t.equal(await trio.cas(null, 'b|-'), false)
  t.same([...new Set(trio.sent)], [Verb.PAXOS_PREPARE], 'a condition that does not hold needs no more')
})

t.test('too few are there: nothing is sent', async (t) => {
  const trio = new Trio()
  trio.dead.add(trio.nodes[1]!.hostId).add(trio.nodes[2]!.hostId)
  const serial = Consistency.SERIAL
  t.match(await trio.cas(null, 'a|-'), {
    code: 'UNAVAILABLE',
    message: 'Cannot achieve consistency level SERIAL',
    consistency: serial,
    required: 2,
    alive: 1,
  })
  t.match(await trio.read(), { code: 'UNAVAILABLE', consistency: serial, required: 2, alive: 1 })
  trio.dead.delete(trio.nodes[1]!.hostId)
  t.match(await trio.cas(null, 'a|-', Consistency.ALL), {
    code: 'UNAVAILABLE',
    consistency: Consistency.ALL,
    required: 3,
    alive: 2,
  })
  t.same(trio.sent, [])
  t.equal(await trio.cas(null, 'a|-'), true, 'a majority is enough')
  t.same(trio.hinted, [trio.nodes[2]!.hostId], 'who is away has a hint')
})

t.test('LOCAL_SERIAL asks this data centre alone; the others learn of it', async (t) => {
  const trio = new Trio(['dc1', 'dc2', 'dc2'])
  trio.dead.add(trio.nodes[1]!.hostId)
  t.equal(await trio.cas(null, 'a|-', Consistency.LOCAL_QUORUM, Consistency.LOCAL_SERIAL), true)
  t.same(trio.sent, [Verb.PAXOS_COMMIT])
  const away = new Trio(['dc2', 'dc1', 'dc1'])
  away.dead.add(away.nodes[1]!.hostId).add(away.nodes[2]!.hostId)
  t.match(await away.cas(null, 'a|-', Consistency.ANY), { code: 'UNAVAILABLE', required: 2, alive: 1 })
})

t.test('one replica to be takes part, of two it is not known who counts', async (t) => {
  const one = new Trio(['dc1', 'dc1', 'dc1', 'dc1'], 1)
  one.dead.add(one.nodes[1]!.hostId).add(one.nodes[2]!.hostId)
  t.match(await one.cas(null, 'a|-'), { code: 'UNAVAILABLE', required: 3, alive: 2 })
  one.dead.clear()
  t.equal(await one.cas(null, 'a|-'), true)
  const two = new Trio(['dc1', 'dc1', 'dc1', 'dc1', 'dc1'], 2)
  t.match(await two.cas(null, 'a|-'), { code: 'UNAVAILABLE', required: 6, alive: 5 })
  t.same(two.sent, [])
})

t.test('silence before anything was proposed', async (t) => {
  const trio = new Trio()
  trio.break(Verb.PAXOS_PREPARE, 'silent', 1, 2)
  t.match(await trio.cas(null, 'a|-'), {
    code: 'WRITE_TIMEOUT',
    message: 'CAS operation timed out: received 1 of 2 required responses after 0 contention retries',
    consistency: Consistency.SERIAL,
    received: 1,
    blockFor: 2,
    writeType: 'CAS',
    contentions: 0,
  })
  trio.break(Verb.PAXOS_READ, 'silent', 1, 2)
  t.match(await trio.read(), {
    code: 'READ_TIMEOUT',
    consistency: Consistency.SERIAL,
    received: 1,
    blockFor: 2,
    dataPresent: false,
  })
  trio.break(Verb.PAXOS_PREPARE, 'failing', 1, 2)
  t.match(await trio.cas(null, 'a|-'), { code: 'WRITE_FAILURE', writeType: 'CAS', failures: { length: 2 } })
  trio.break(Verb.PAXOS_READ, 'failing', 1, 2)
  t.match(await trio.read(), { code: 'READ_FAILURE', failures: { length: 2 } })
})

t.test('a proposal of unknown fate', async (t) => {
  const trio = new Trio()
  trio.break(Verb.PAXOS_PROPOSE, 'answer lost', 1, 2)
  t.match(await trio.cas(null, 'a|-'), {
    code: 'CAS_WRITE_UNKNOWN',
    message: 'CAS operation result is unknown - proposal accepted by 1 but not a quorum.',
    consistency: Consistency.SERIAL,
    received: 1,
    blockFor: 2,
  })
  trio.broken.clear()
  t.equal(await trio.read(), 'a|-', 'whoever asks next finishes it')
  t.equal(await trio.cas('a|-', 'b|-'), true)
})

t.test('a decision that not enough acknowledged stands', async (t) => {
  const trio = new Trio()
  trio.break(Verb.PAXOS_COMMIT, 'silent', 2)
  t.match(await trio.cas(null, 'a|-', Consistency.ALL), {
    code: 'WRITE_TIMEOUT',
    message: 'CAS operation timed out: received 2 of 3 required responses after 0 contention retries',
    consistency: Consistency.ALL,
    received: 2,
    blockFor: 3,
    writeType: 'CAS',
    contentions: 0,
  })
  t.same(trio.hinted, [trio.nodes[2]!.hostId])
  t.equal(await trio.read(), 'a|-')
  trio.break(Verb.PAXOS_COMMIT, 'silent', 1, 2)
  t.equal(await trio.cas('a|-', 'b|-', Consistency.ANY), true, 'ANY waits for nobody')
  t.equal(await trio.read(), 'b|-')
})

/** The partition was of the first three, and is of 0, 1 and 3. */
function moved(): Trio {
  const four = new Trio(['dc1', 'dc1', 'dc1', 'dc1'])
  four.holders = [0, 1, 2]
  four.later = [0, 1, 3]
  return four
}

t.test(
  'in each step those who know of a later ring are asked by that: neither promises nor acceptances of two are put together',
  async (t) => {
    const { PAXOS_PREPARE, PAXOS_PROPOSE, PAXOS_COMMIT, PAXOS_READ } = Verb
    for (const verb of [PAXOS_PREPARE, PAXOS_PROPOSE, PAXOS_COMMIT]) {
      const four = moved()
      four.break(verb, 'behind', 1, 2)
      t.equal(await four.cas(null, 'a|-'), true)
      // Nobody else has it than those who hold it now.
      four.dead.add(four.nodes[0]!.hostId)
      four.holders = [0, 1, 3]
      t.equal(await four.read(), 'a|-', `refused in step ${verb}`)
    }
    const read = moved()
    t.equal(await read.cas(null, 'a|-'), true)
    read.break(PAXOS_READ, 'behind', 1, 2)
    read.break(PAXOS_PREPARE, 'behind', 1, 2)
    t.equal(await read.read(), 'a|-')
    t.same(read.holders, [0, 1, 3])
  },
)

t.test(
  'who cannot learn of the later ring tells a failure, or that the fate of what it proposed is unknown',
  async (t) => {
    const { PAXOS_PREPARE, PAXOS_PROPOSE, PAXOS_COMMIT } = Verb
    const one = moved()
    one.later = null
    one.break(PAXOS_PREPARE, 'behind', 1, 2)
    t.match(await one.cas(null, 'a|-'), { code: 'WRITE_FAILURE', consistency: Consistency.SERIAL, blockFor: 2 })
    const two = moved()
    two.later = null
    two.break(PAXOS_PROPOSE, 'behind', 1, 2)
    t.match(await two.cas(null, 'a|-'), { code: 'CAS_WRITE_UNKNOWN', received: 1, blockFor: 2 })
    const three = moved()
    three.later = null
    three.break(PAXOS_COMMIT, 'behind', 1, 2)
    t.match(await three.cas(null, 'a|-'), { code: 'WRITE_FAILURE', consistency: Consistency.QUORUM, received: 1 })
    t.same(three.hinted, [three.nodes[1]!.hostId, three.nodes[2]!.hostId])
  },
)

t.test('too few of the later ring are there: that nothing happened is said only if nothing was proposed', async (t) => {
  for (const [verb, code] of [
    [Verb.PAXOS_PREPARE, 'UNAVAILABLE'],
    [Verb.PAXOS_PROPOSE, 'CAS_WRITE_UNKNOWN'],
  ] as const) {
    const four = moved()
    four.break(verb, 'behind', 1, 2)
    four.later = [0, 3, 4]
    four.nodes.push(ringNode(4, 'dc1'))
    four.dead.add(four.nodes[3]!.hostId).add(four.nodes[4]!.hostId)
    t.match(await four.cas(null, 'a|-'), { code })
  }
})
