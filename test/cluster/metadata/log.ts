/** The metadata log among several nodes: founding, changes, catching up, losing and replacing members, power loss. */
import t, { type Test } from 'tap'
import type { SchemaStatement } from '../../../lib/cql/ast.ts'
import { compileSchemaStatement } from '../../../lib/cql/ddl/schema-statements.ts'
import { parseStatement } from '../../../lib/cql/parser/parser.ts'
import type { SchemaDoor } from '../../../lib/cql/statement.ts'
import { SILENT_LOG } from '../../../lib/runtime/node/log.ts'
import { MemberCare } from '../../../lib/server/cluster/member-care.ts'
import { readMetadata } from '../../../lib/server/metadata-rows.ts'
import { hostId, MetadataWorld } from '../../support/metadata-world.ts'
import { createSchemaWorld } from '../../support/schema-world.ts'

const schemaWorld = createSchemaWorld()
const KEYSPACE = "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"

async function ddl(schema: SchemaDoor, text: string): Promise<void> {
  const statement = parseStatement(text).statement as SchemaStatement
  const { options, client, environment } = schemaWorld
  const compiled = compileSchemaStatement(statement, null)
  await compiled.execute({ ...environment, schema }, options, client)
}

/** Runs a story in virtual time. */
async function play(world: MetadataWorld, story: () => Promise<void>, limitMs = 120_000): Promise<void> {
  await world.until(story(), limitMs)
}

/** All nodes running, and of one cluster. */
async function found(world: MetadataWorld): Promise<void> {
  await Promise.all(Array.from({ length: world.count }, (_, i) => world.start(i)))
  await Promise.all([...world.nodes.values()].map(({ established }) => established))
}

const log = (world: MetadataWorld, index: number) => world.nodes.get(index)!.metadata

function checkEqual(t: Test, world: MetadataWorld): void {
  const states = [...world.nodes.values()].map(({ metadata: { state } }) => ({
    epoch: state.epoch,
    clusterId: state.clusterId,
    version: state.schema.version,
    schemaEpoch: state.schema.epoch,
    nodes: [...state.topology.nodes.keys()],
    members: state.members,
    tables: [...state.schema.tablesById.keys()],
  }))
  for (const state of states) t.same(state, states[0])
  t.same(world.reports, [])
}

t.test('three seeds found one cluster, in whatever order they start', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const world = new MetadataWorld({ seed, nodes: 3 })
    await play(world, async () => {
      await world.start(2)
      await world.sleep(world.dice.int(3000))
      t.equal(log(world, 2).state.epoch, 0, 'one of three waits')
      await world.start(0)
      await world.sleep(world.dice.int(2500))
      await world.start(1)
      await Promise.all([...world.nodes.values()].map(({ established }) => established))
      await world.settle()
    })
    t.not(log(world, 0).state.clusterId, '')
    t.ok(log(world, 0).state.topology.nodes.size >= 2)
    checkEqual(t, world)
  }
})

t.test('all seeds at once are founders, and members', async (t) => {
  const world = new MetadataWorld({ seed: 5, nodes: 3 })
  await play(world, () => found(world))
  t.same(log(world, 0).state.members, [0, 1, 2].map(hostId))
  t.comment(`founded after ${Math.round(world.kernel.nowMs)} ms`)
  t.ok(world.kernel.nowMs < 1000)
  checkEqual(t, world)
})

t.test('tables that clients make at once through different nodes', async (t) => {
  const world = new MetadataWorld({ seed: 8, nodes: 3 })
  const outcomes: string[] = []
  await play(world, async () => {
    await found(world)
    await ddl(log(world, 0), KEYSPACE)
    const tries = [0, 1, 2].flatMap((node) => [
      ddl(log(world, node), 'CREATE TABLE k.same (k int PRIMARY KEY)'),
      ddl(log(world, node), `CREATE TABLE k.t${node} (k int PRIMARY KEY)`),
      ddl(log(world, node), 'CREATE TABLE IF NOT EXISTS k.quiet (k int PRIMARY KEY)'),
    ])
    for (const outcome of await Promise.allSettled(tries))
      outcomes.push(outcome.status === 'fulfilled' ? 'done' : (outcome.reason as { code: string }).code)
    await world.settle()
  })
  t.same(outcomes.filter((outcome) => outcome === 'ALREADY_EXISTS').length, 2)
  t.same(outcomes.filter((outcome) => outcome === 'done').length, 7)
  t.same([...log(world, 1).current.keyspaces.get('k')!.tables.keys()].sort(), ['quiet', 'same', 't0', 't1', 't2'])
  checkEqual(t, world)
})

t.test('what was done through one node is there for the next request through another', async (t) => {
  const world = new MetadataWorld({ seed: 3, nodes: 3 })
  await play(world, async () => {
    await found(world)
    await ddl(log(world, 0), KEYSPACE)
    // Node 1 hears nothing of it, and is asked at once.
    world.isCut = (from, to) => from === 0 && to === 1
    await ddl(log(world, 0), 'CREATE TABLE k.t (k int PRIMARY KEY)')
    t.equal(log(world, 1).current.keyspaces.get('k')!.tables.size, 0)
    world.isCut = () => false
    await t.rejects(ddl(log(world, 1), 'CREATE TABLE k.t (k int PRIMARY KEY)'), { code: 'ALREADY_EXISTS' })
    await ddl(log(world, 2), 'ALTER TABLE k.t ADD v int')
    await world.settle()
  })
  checkEqual(t, world)
})

t.test('however many want to know at once what there is, the members are asked by one at a time', async (t) => {
  const world = new MetadataWorld({ seed: 3, nodes: 3 })
  await play(world, async () => {
    await found(world)
    let messages = 0
    world.isCut = () => {
      messages += 1
      return false
    }
    const cost = async (askers: number): Promise<number> => {
      messages = 0
      await Promise.all(Array.from({ length: askers }, () => log(world, 1).confirm()))
      return messages
    }
    const once = await cost(1)
    const often = await cost(200)
    t.ok(once > 0 && often <= 3 * once, `${often} messages for 200, ${once} for one`)
    world.isCut = (from, to) => from === 1 || to === 1
    const all = Array.from({ length: 200 }, () => log(world, 1).confirm())
    for (const one of all) await t.rejects(one, { code: 'UNAVAILABLE' })
    world.isCut = () => false
    await log(world, 1).confirm()
  })
})

for (const snapshotEvery of [1000, 3])
  t.test(`a node that was away catches up (a snapshot every ${snapshotEvery})`, async (t) => {
    const world = new MetadataWorld({ seed: 4, nodes: 3, snapshotEvery })
    const heard: string[] = []
    await play(world, async () => {
      await found(world)
      await ddl(log(world, 0), KEYSPACE)
      await ddl(log(world, 0), 'CREATE TABLE k.gone (k int PRIMARY KEY)')
      await world.settle()
      world.kill(2, 0)
      await ddl(log(world, 1), 'DROP TABLE k.gone')
      for (let i = 0; i < 10; i++) await ddl(log(world, i % 2), `CREATE TABLE k.t${i} (k int PRIMARY KEY)`)
      const back = await world.start(2)
      log(world, 2).listen((changes) => heard.push(...changes.map(({ change, name }) => `${change} ${name}`)))
      const { epoch } = log(world, 1).state
      await back.established
      t.equal(log(world, 2).state.epoch, epoch, 'before it serves')
      t.equal(back.metadata.figures.snapshotsTaken, snapshotEvery === 3 ? 1 : 0)
      t.match(log(world, 1).figures, { appended: 6, members: 3, isMember: true, epoch, withoutMajority: 0 })
      await world.settle()
      // What it learned is its own: alone it has it all.
      world.kill(2, 0)
      world.isCut = () => true
      await (await world.start(2)).established
      t.equal(log(world, 2).state.epoch, epoch)
      t.same(world.nodes.get(2)!.store.tableIds.length, world.nodes.get(1)!.store.tableIds.length)
    })
    t.same(heard, ['DROPPED gone', ...Array.from({ length: 10 }, (_, i) => `CREATED t${i}`)])
    checkEqual(t, world)
  })

t.test('a minority may be lost, a majority not', async (t) => {
  const world = new MetadataWorld({ seed: 6, nodes: 3 })
  await play(world, async () => {
    await found(world)
    await ddl(log(world, 0), KEYSPACE)
    world.kill(1, 0.5)
    await ddl(log(world, 0), 'CREATE TABLE k.a (k int PRIMARY KEY)')
    world.kill(2, 0.5)
    const before = world.kernel.nowMs
    await t.rejects(ddl(log(world, 0), 'CREATE TABLE k.b (k int PRIMARY KEY)'), {
      code: 'UNAVAILABLE',
      message: 'The schema cannot be changed: 1 of the 3 metadata members answered, 2 must',
      fields: { required: 2, alive: 1 },
    })
    t.ok(world.kernel.nowMs - before < 6_000, 'told within a bound')
    await t.rejects(ddl(log(world, 0), 'CREATE TABLE k.a (k int PRIMARY KEY)'), { code: 'UNAVAILABLE' })
    await t.rejects(log(world, 0).changeTopology({ kind: 'remove', hostId: hostId(1) }), { code: 'UNAVAILABLE' })
    await world.start(1)
    await ddl(log(world, 0), 'CREATE TABLE k.c (k int PRIMARY KEY)')
    await world.start(2)
    await world.settle()
  })
  t.same([...log(world, 2).current.keyspaces.get('k')!.tables.keys()].sort(), ['a', 'c'])
  checkEqual(t, world)
})

t.test('a node joins, becomes a member, and one that is removed is none any more', async (t) => {
  const world = new MetadataWorld({ seed: 9, nodes: 4, seeds: 3 })
  await play(world, async () => {
    await Promise.all([0, 1, 2].map((i) => world.start(i)))
    await Promise.all([...world.nodes.values()].map(({ established }) => established))
    await ddl(log(world, 0), KEYSPACE)
    const late = await world.start(3)
    await late.established
    t.equal(late.metadata.state.topology.nodes.has(hostId(3)), false)
    await late.metadata.changeTopology({ kind: 'join-start', node: { ...world.ringNode(3), status: 'joining' } })
    t.same(late.metadata.state.members, [0, 1, 2].map(hostId))
    await late.metadata.changeTopology({ kind: 'join-finish', hostId: hostId(3) })
    t.same(late.metadata.state.members, [0, 1, 2, 3].map(hostId))
    await world.settle()
    world.kill(0, 0)
    await t.rejects(late.metadata.changeTopology({ kind: 'join-finish', hostId: hostId(3) }), { name: 'TopologyError' })
    await late.metadata.changeTopology({ kind: 'remove', hostId: hostId(0) })
    t.same(late.metadata.state.members, [1, 2, 3].map(hostId))
    world.kill(1, 0)
    await ddl(late.metadata, 'CREATE TABLE k.t (k int PRIMARY KEY)')
    await world.start(1)
    await world.settle()
  })
  checkEqual(t, world)
})

t.test('a member that is gone for long is replaced', async (t) => {
  const world = new MetadataWorld({ seed: 10, nodes: 7 })
  await play(world, async () => {
    await found(world)
    const before = log(world, 0).state.members
    t.equal(before.length, 5)
    const gone = world.nodes.get([0, 1, 2, 3, 4, 5, 6].find((i) => before.includes(hostId(i)))!)!
    world.kill(gone.index, 0)
    const one = [...world.nodes.values()][0]!
    await one.metadata.replaceMembers((id) => id === gone.hostId)
    const { members } = one.metadata.state
    t.equal(members.length, 5)
    t.notOk(members.includes(gone.hostId))
    await one.metadata.replaceMembers((id) => id === gone.hostId)
    t.equal(one.metadata.state.members, members, 'nothing to do is no entry')
    await world.settle()
  })
  checkEqual(t, world)
})

t.test('members that are down for long give their places to others by themselves', async (t) => {
  const world = new MetadataWorld({ seed: 14, nodes: 6 })
  const minutes = (count: number) => world.sleep(count * 60_000)
  const story = async (): Promise<void> => {
    await found(world)
    await world.settle()
    const isAlive = (id: string): boolean => [...world.nodes.values()].some((node) => node.hostId === id)
    for (const { metadata, process, hostId } of world.nodes.values())
      new MemberCare({ metadata, liveness: { isAlive }, clock: process.clock, log: SILENT_LOG, hostId })
    const { members } = log(world, 0).state
    const spare = [0, 1, 2, 3, 4, 5].map(hostId).find((id) => !members.includes(id))!
    const [gone, next] = members.map((id) => Number(id.slice(-1)))
    const one = Number(members[2]!.slice(-1))
    world.kill(gone!, 0)
    await minutes(8)
    t.same(log(world, one).state.members, members, 'it may come back')
    await minutes(4)
    t.same([...log(world, one).state.members].sort(), [...members.slice(1), spare].sort())
    world.kill(next!, 0)
    await minutes(12)
    t.ok(log(world, one).state.members.includes(hostId(next!)), 'there is nobody else')
    const { epoch } = log(world, one).state
    await minutes(12)
    t.equal(log(world, one).state.epoch, epoch)
    await world.start(gone!)
    await minutes(2)
    t.same([...log(world, one).state.members].sort(), [...members.filter((_, i) => i !== 1), spare].sort())
    await world.settle()
  }
  await play(world, story, 3_600_000)
  checkEqual(t, world)
})

t.test('changes that wait for each other are all told within a bound that there is no majority', async (t) => {
  const world = new MetadataWorld({ seed: 15, nodes: 3 })
  await play(world, async () => {
    await found(world)
    await ddl(log(world, 0), KEYSPACE)
    world.kill(1, 0)
    world.kill(2, 0)
    const before = world.kernel.nowMs
    const many = Array.from({ length: 20 }, (_, i) => ddl(log(world, 0), `CREATE TABLE k.t${i} (k int PRIMARY KEY)`))
    for (const outcome of await Promise.allSettled(many)) t.match(outcome, { reason: { code: 'UNAVAILABLE' } })
    t.ok(world.kernel.nowMs - before < 6_000)
    await world.start(1)
    await ddl(log(world, 0), 'CREATE TABLE k.t (k int PRIMARY KEY)')
  })
})

t.test('nodes that all have other addresses find each other by gossip', async (t) => {
  const world = new MetadataWorld({ seed: 16, nodes: 3 })
  await play(world, async () => {
    await found(world)
    await world.settle()
    for (const index of [0, 1, 2]) world.kill(index, 0)
    world.moved = 10
    await Promise.all([0, 1, 2].map((i) => world.start(i)))
    await Promise.all(
      [0, 1, 2].map((i) => {
        const { hostId, endpoint, clientAddress, clientPort } = world.ringNode(i)
        return log(world, i).changeTopology({ kind: 'address', hostId, endpoint, clientAddress, clientPort })
      }),
    )
    await world.settle()
  })
  t.same(
    [...log(world, 2).state.topology.nodes.values()].map(({ endpoint }) => endpoint),
    ['10.0.0.11:7000', '10.0.0.12:7000', '10.0.0.13:7000'],
  )
  checkEqual(t, world)
})

t.test('a node that was alone founds a cluster with what it has, and others join it', async (t) => {
  const world = new MetadataWorld({ seed: 11, nodes: 2 })
  await play(world, async () => {
    const alone = await world.start(0, { alone: true })
    t.same([...alone.metadata.state.topology.nodes.keys()], [hostId(0)])
    await ddl(alone.metadata, KEYSPACE)
    await ddl(alone.metadata, 'CREATE TABLE k.t (k int PRIMARY KEY)')
    world.kill(0, 0)
    const strange = await world.start(0, { seeds: [0, 1] })
    await t.rejects(strange.established, { name: 'FoundingError' }, 'others may have tables too')
    world.kill(0, 0)
    const first = await world.start(0, { seeds: [0] })
    await first.established
    t.equal(first.metadata.state.epoch, 3)
    const second = await world.start(1, { seeds: [0] })
    await second.established
    await second.metadata.changeTopology({ kind: 'join-start', node: world.ringNode(1) })
    t.same(second.metadata.state.members, [0, 1].map(hostId))
    await ddl(second.metadata, 'CREATE TABLE k.u (k int PRIMARY KEY)')
    await world.settle()
    world.kill(1, 0)
    await t.rejects(world.start(1, { alone: true }), { name: 'StartError' }, 'one of two is not alone')
  })
  t.same([...log(world, 0).current.keyspaces.get('k')!.tables.keys()].sort(), ['t', 'u'])
})

t.test('a node that was the whole cluster is alone again, and is a cluster again', async (t) => {
  const world = new MetadataWorld({ seed: 17, nodes: 1 })
  await play(world, async () => {
    const first = await world.start(0)
    await first.established
    await ddl(first.metadata, KEYSPACE)
    const { clusterId } = first.metadata.state
    world.kill(0, 0)
    world.moved = 5
    const alone = await world.start(0, { alone: true })
    t.equal(alone.metadata.state.clusterId, clusterId)
    t.equal(alone.metadata.state.topology.nodes.get(hostId(0))!.endpoint, '10.0.0.6:7000', 'at its new address')
    await ddl(alone.metadata, 'CREATE TABLE k.t (k int PRIMARY KEY)')
    world.kill(0, 0)
    const again = await world.start(0)
    await again.established
    t.equal(again.metadata.state.clusterId, clusterId)
    await ddl(again.metadata, 'CREATE TABLE k.u (k int PRIMARY KEY)')
    t.same([...again.metadata.current.keyspaces.get('k')!.tables.keys()], ['t', 'u'])
  })
})

t.test('a founding that a node took part in is none once it is alone', async (t) => {
  const world = new MetadataWorld({ seed: 18, nodes: 3 })
  await play(world, async () => {
    let votes = 0
    world.onVote = (index) => {
      // It has promised and accepted, and hears no more.
      if (index === 2 && ++votes === 2) world.isCut = (_from, to) => to === 2
    }
    await Promise.all([0, 1, 2].map((i) => world.start(i)))
    await Promise.all([0, 1].map((i) => world.nodes.get(i)!.established))
    await world.sleep(1000)
    const [row] = await readMetadata(world.nodes.get(2)!.store, 'acceptor', 0)
    t.match(JSON.parse(row!.payload), { epoch: 1, accepted: { value: String } })
    world.kill(2, 0)
    const alone = await world.start(2, { alone: true })
    t.equal(alone.metadata.state.clusterId, '')
    t.same([...alone.metadata.state.topology.nodes.keys()], [hostId(2)])
  })
})

t.test('seeds that cannot be one cluster say why', async (t) => {
  const world = new MetadataWorld({ seed: 19, nodes: 2 })
  await play(world, async () => {
    world.ringNode = (index) => ({ ...MetadataWorld.prototype.ringNode.call(world, index), clientAddress: '10.0.0.9' })
    await Promise.all([world.start(0), world.start(1)])
    await t.rejects(world.nodes.get(0)!.established, {
      name: 'FoundingError',
      message: /serves clients at 10.0.0.9:9042 already/,
    })
  })
})

t.test('a node that stops waits for nobody', async (t) => {
  const world = new MetadataWorld({ seed: 20, nodes: 3 })
  await play(world, async () => {
    await found(world)
    world.isCut = () => true
    const change = ddl(log(world, 0), KEYSPACE)
    await world.sleep(100)
    const before = world.kernel.nowMs
    await Promise.all([t.rejects(change), log(world, 0).close()])
    t.ok(world.kernel.nowMs - before < 100)
  })
})

t.test('a cluster name that is not the seeds', async (t) => {
  const world = new MetadataWorld({ seed: 12, nodes: 2 })
  await play(world, async () => {
    await world.start(0, { seeds: [0] })
    const other = await world.start(1, { seeds: [0], clusterName: 'Other' })
    await t.rejects(other.established, {
      name: 'FoundingError',
      message: /is of cluster Test Cluster, this node of Other/,
    })
  })
})
