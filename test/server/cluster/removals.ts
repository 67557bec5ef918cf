/** Taking nodes out of a ring: what is refused, who is waited for, and what force does. The others are played by the test. */
import t, { type Test } from 'tap'
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import {
  changeTopology,
  EMPTY_TOPOLOGY,
  type RingNode,
  type Topology,
  type TopologyChange,
} from '../../../cluster/ring/topology.ts'
import { decodeQuestion, encodeReport, type TakeOverReport } from '../../../cluster/streaming/messages.ts'
import { FailureReason } from '../../../lib/base/errors.ts'
import { createSimulatedClock } from '../../../lib/runtime/simulated/clock.ts'
import type { Schema } from '../../../lib/schema/keyspace.ts'
import { RingRemovals } from '../../../lib/server/cluster/removals.ts'
import type { ClusterMetadata, MetadataLog } from '../../../lib/server/metadata-log.ts'
import { changed, createSchemaWorld } from '../../support/schema-world.ts'
import { hostIdAt } from '../../support/stream-world.ts'

const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

async function schemaOf(...replications: readonly string[]): Promise<Schema> {
  const world = createSchemaWorld({ dc1: 4, dc2: 1 })
  for (const [i, replication] of replications.entries()) {
    await changed(world, `CREATE KEYSPACE ks${i} WITH replication = {${replication}}`)
    await changed(world, `CREATE TABLE ks${i}.t (k int PRIMARY KEY)`)
  }
  return world.environment.schema.current
}

function ringNode(index: number, datacenter = 'dc1'): RingNode {
  return {
    hostId: hostIdAt(index),
    endpoint: `10.0.0.${index}:7000`,
    clientAddress: `10.0.0.${index}`,
    clientPort: 9042,
    datacenter,
    rack: 'r1',
    tokens: [0, 1, 2].map((i) => String(i * 1_000 + index)),
    status: 'normal',
    capacity: 1,
  }
}

/** Seen from node 1. */
class World {
  readonly clock = createSimulatedClock()
  topology: Topology
  readonly dead = new Set<string>()
  /** By endpoint; absent: done at once. */
  readonly reports = new Map<string, TakeOverReport>()
  readonly changes: string[] = []
  readonly asked: string[] = []
  readonly removals: RingRemovals

  constructor(schema: Schema, nodes: readonly RingNode[]) {
    this.topology = nodes.reduce((before, node) => changeTopology(before, { kind: 'join-start', node }), EMPTY_TOPOLOGY)
    const world = this
    const state = (): ClusterMetadata => ({ schema, topology: world.topology }) as unknown as ClusterMetadata
    const metadata = {
      get state() {
        return state()
      },
      async changeTopology(change: (now: ClusterMetadata) => TopologyChange | null) {
        const wanted = change(state())
        if (wanted === null) return
        world.topology = changeTopology(world.topology, wanted)
        world.changes.push(wanted.kind)
      },
    }
    const report = (endpoint: string): TakeOverReport => this.reports.get(endpoint) ?? { isDone: true, trouble: null }
    const messenger: Pick<Messenger, 'request'> = {
      request: (to, _verb, payload, _timeoutMs, reply) => {
        this.asked.push(`${to} ${decodeQuestion(payload as Buffer).seals}`)
        const isDead = [...this.topology.nodes.values()].some(
          ({ endpoint, hostId }) => endpoint === to && this.dead.has(hostId),
        )
        this.clock.after(1, () => {
          if (isDead) reply.failed(to, FailureReason.NODE_DOWN)
          else reply.replied(to, encodeReport(report(to)))
        })
      },
    }
    this.removals = new RingRemovals({
      messenger: messenger as Messenger,
      metadata: metadata as unknown as MetadataLog,
      liveness: { isAlive: (hostId) => !this.dead.has(hostId) },
      clock: this.clock,
      log: SILENT,
      self: nodes[0]!,
      report: async () => report(nodes[0]!.endpoint),
    })
  }

  kill(index: number): string {
    this.dead.add(hostIdAt(index))
    return hostIdAt(index)
  }

  async finish<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    const over = (): void => {
      isOver = true
    }
    promise.then(over, over)
    for (let i = 0; !isOver && i < 1_000; i++) await this.clock.advance(50)
    return promise
  }
}

const four = [1, 2, 3, 4].map((index) => ringNode(index))
const THREE = "'class': 'NetworkTopologyStrategy', 'dc1': 3"
const ONE = "'class': 'NetworkTopologyStrategy', 'dc1': 1"

async function refused(t: Test, world: World, promise: Promise<unknown>, message: RegExp): Promise<void> {
  await t.rejects(world.finish(promise), { message })
  t.same(world.changes, [], 'nothing was begun')
}

t.test('what is refused', async (t) => {
  const schema = await schemaOf(THREE)
  let world = new World(schema, four)
  await refused(t, world, world.removals.removeNode(hostIdAt(4)), /^Node \/10\.0\.0\.4:7000 is alive and owns this ID/)
  await refused(t, world, world.removals.removeNode(hostIdAt(1)), /^Cannot remove self/)
  await refused(t, world, world.removals.removeNode(hostIdAt(9)), /^Host ID not found\./)
  await refused(t, world, world.removals.force(), /^No nodes to force removal on/)
  await refused(t, world, world.removals.assassinate('10.0.0.4'), /^Endpoint still alive/)
  world.kill(3)
  await refused(t, world, world.removals.removeNode(world.kill(4)), /^Data of ks0 cannot be fetched: .* is down/)

  world = new World(await schemaOf(THREE, ONE), four)
  await refused(
    t,
    world,
    world.removals.removeNode(world.kill(4)),
    /^Data of ks1 cannot be fetched: 10\.0\.0\.4:7000 is down/,
  )

  const far = "'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 1"
  world = new World(await schemaOf(far), [...four, ringNode(5, 'dc2')])
  world.topology = changeTopology(world.topology, { kind: 'join-start', node: { ...ringNode(6), status: 'joining' } })
  await refused(
    t,
    world,
    world.removals.removeNode(world.kill(5)),
    /is joining: nodes join and leave one after the other/,
  )

  world = new World(await schemaOf("'class': 'NetworkTopologyStrategy', 'dc2': 1"), [...four, ringNode(5, 'dc2')])
  await refused(t, world, world.removals.removeNode(world.kill(5)), /would be lost: there would be no replica/)

  world = new World(schema, four.slice(0, 3))
  await refused(
    t,
    world,
    world.removals.giveUpPlace(false),
    /^Unsupported operation: Not enough live nodes .*\(RF = 3, N = 3\)/,
  )
})

t.test('a dead node: the ring changes when all have what they take over, and the sources sealed it', async (t) => {
  const world = new World(await schemaOf(THREE), four)
  const hostId = world.kill(4)
  world.reports.set('10.0.0.2:7000', { isDone: false, trouble: null })
  world.reports.set('10.0.0.3:7000', { isDone: false, trouble: 'no room' })
  const removing = world.removals.removeNode(hostId)
  await world.clock.advance(2_000)
  t.same(world.changes, ['leave-start'])
  const status = await world.finish(world.removals.status())
  t.match(status, { node: { hostId }, isAlive: false })
  t.same(
    status!.waiting.map(({ node, trouble }) => [node.endpoint, trouble]),
    [
      ['10.0.0.2:7000', null],
      ['10.0.0.3:7000', 'no room'],
    ],
  )
  t.notOk(
    world.asked.some((question) => question.endsWith('true')),
    'nothing is sealed before all are done',
  )
  world.reports.clear()
  await world.finish(removing)
  t.same(world.changes, ['leave-start', 'remove'])
  t.same(world.asked.slice(-2), ['10.0.0.2:7000 true', '10.0.0.3:7000 true'])
  t.equal(await world.finish(world.removals.status()), null)
})

t.test('who takes over dies meanwhile: it is waited for, or the removal forced', async (t) => {
  const world = new World(await schemaOf(THREE), four)
  const hostId = world.kill(4)
  world.reports.set('10.0.0.2:7000', { isDone: false, trouble: null })
  const removing = world.removals.removeNode(hostId)
  await world.clock.advance(1_000)
  world.kill(2)
  await world.clock.advance(10_000)
  t.same(world.changes, ['leave-start'])
  const forced = await world.finish(world.removals.force())
  t.same(
    forced.waiting.map(({ node, trouble }) => [node.endpoint, trouble]),
    [['10.0.0.2:7000', 'it is down']],
  )
  await world.finish(removing)
  t.same(world.changes, ['leave-start', 'remove'])
})

t.test('a dead node that is back is not removed, and one that joined and died is, at once', async (t) => {
  const world = new World(await schemaOf(THREE), four)
  const hostId = world.kill(4)
  world.reports.set('10.0.0.2:7000', { isDone: false, trouble: null })
  const removing = world.removals.removeNode(hostId)
  await world.clock.advance(1_000)
  world.dead.clear()
  world.reports.clear()
  await t.rejects(world.finish(removing), { message: /is alive again, and was not removed/ })
  await t.rejects(world.finish(world.removals.force()), { message: /decommissions itself/ })
  t.same(world.changes, ['leave-start'])
  world.kill(4)
  await world.finish(world.removals.removeNode(hostId))
  t.same(world.changes, ['leave-start', 'remove'], 'it is gone on with')

  world.topology = changeTopology(world.topology, { kind: 'join-start', node: { ...ringNode(6), status: 'joining' } })
  await world.finish(world.removals.removeNode(world.kill(6)))
  t.same(world.changes.slice(2), ['remove'])
  await world.finish(world.removals.assassinate('10.0.0.77'))
  world.kill(3)
  await world.finish(world.removals.assassinate('10.0.0.3'))
  t.same(world.changes.slice(3), ['remove'])
})
