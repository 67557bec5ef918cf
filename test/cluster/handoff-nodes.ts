/** Whole nodes: what one missed while it was away it has when it is back, by hints alone; also when the one who kept them was killed meanwhile. */
import t from 'tap'
import { Kernel } from '../../lib/runtime/simulated/kernel.ts'
import { SimulatedNetwork } from '../../lib/runtime/simulated/network.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { type Answer, CqlConnection } from '../simulation/world/client.ts'
import { Machine } from '../simulation/world/node.ts'

interface World {
  readonly machines: readonly Machine[]
  readonly story: string[]
  run(ms: number): Promise<void>
  wait<T>(promise: Promise<T>): Promise<T>
  until(what: () => boolean): Promise<void>
  /** Rejects with what it is told, if that is an error. */
  query(node: number, text: string, consistency: number): Promise<Answer>
}

async function createWorld(count: number): Promise<World> {
  const addresses = Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}`)
  const random = createSeededRandom(7)
  const kernel = new Kernel({ random, hop: setImmediate })
  const network = new SimulatedNetwork({ clock: kernel.clock, random })
  const story: string[] = []
  const machines = addresses.map(
    (address, i) =>
      new Machine(
        {
          kernel,
          network,
          random,
          address,
          settings: { seeds: addresses, num_tokens: 8, commitlog_segment_size: 1024 * 1024 },
          syncMs: 1,
          otherMs: 0.1,
          latenessMs: 0,
          say: (line) => story.push(`${kernel.nowMs.toFixed(0)} ${line}`),
          violation: (what) => {
            throw new Error(`${what}\n${story.slice(-30).join('\n')}`)
          },
        },
        `node${i + 1}`,
      ),
  )
  const run = (ms: number): Promise<void> => kernel.run(kernel.nowMs + ms)
  const until = async (what: () => boolean): Promise<void> => {
    for (let turn = 0; !what(); turn++) {
      if (turn > 2_000) throw new Error(`it does not happen\n${story.slice(-30).join('\n')}`)
      await run(50)
    }
  }
  const wait = async <T>(promise: Promise<T>): Promise<T> => {
    let isDone = false
    promise.finally(() => (isDone = true)).catch(() => {})
    await until(() => isDone)
    return promise
  }
  const client = network.attach('10.0.1.1', kernel.clock)
  for (const machine of machines) machine.start()
  await until(() => machines.every(({ phase }) => phase === 'serving'))
  const connections = new Map<number, CqlConnection>()
  return {
    machines,
    story,
    run,
    wait,
    until,
    async query(node, text, consistency) {
      let connection = connections.get(node)
      if (!connection?.isOpen) {
        connection = (await wait(CqlConnection.open(kernel.clock, client, addresses[node]!, 9042, 4)))!
        connections.set(node, connection)
      }
      const answer = await wait(connection.query(text, [], { consistency }))
      if (answer.kind === 'error' || answer.kind === 'lost') throw new Error(`${text}: ${JSON.stringify(answer)}`)
      return answer
    },
  }
}

t.test('a node that was away has what it missed', async (t) => {
  const world = await createWorld(3)
  const { machines } = world
  const { QUORUM, ONE } = Consistency
  await world.query(0, "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}", ONE)
  await world.query(0, 'CREATE TABLE k.t (p int PRIMARY KEY, v int)', ONE)
  await world.run(3_000)
  machines[2]!.crash(0)
  for (let i = 0; i < 40; i++) {
    await world.query(0, `INSERT INTO k.t (p, v) VALUES (${i}, ${i})`, QUORUM)
    if (i === 20) await world.run(30_000)
  }
  await world.run(1_000)
  const pending = await world.query(0, 'SELECT address, status FROM system_views.pending_hints', ONE)
  t.same(pending.kind === 'rows' && pending.rows, [[Buffer.from([10, 0, 0, 3]), Buffer.from('DOWN')]])
  const links = await world.query(0, 'SELECT address, active_connections FROM system_views.internode_outbound', ONE)
  t.equal(links.kind === 'rows' && links.rows.length, 2)
  machines[0]!.crash(0)
  machines[0]!.start()
  await world.until(() => machines[0]!.phase === 'serving')
  await world.run(20_000)
  machines[2]!.start()
  await world.until(() => machines[2]!.phase === 'serving')
  await world.run(30_000)
  t.match(world.story.join('\n'), /node1 INFO handoff\.ts Finished hinted handoff of \d+ hints to 10\.0\.0\.3:7000/)
  machines[0]!.crash(0)
  machines[1]!.crash(0)
  await world.run(30_000)
  const answer = await world.query(2, 'SELECT p FROM k.t', ONE)
  t.equal(answer.kind === 'rows' && answer.rows.length, 40)
})

t.test('sloppy quorum: others stand in for replicas that are away', async (t) => {
  const world = await createWorld(4)
  const { machines } = world
  const { QUORUM, ONE, ALL } = Consistency
  await world.query(0, "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}", ONE)
  await world.query(0, 'CREATE TABLE k.strict (p int PRIMARY KEY, v int)', ONE)
  await world.query(0, 'CREATE TABLE k.sloppy (p int PRIMARY KEY, v int) WITH sloppy_quorum = true', ONE)
  const described = async (): Promise<string> => {
    const answer = await world.query(1, 'DESCRIBE TABLE k.sloppy', ONE)
    return answer.kind === 'rows' ? answer.rows[0]!.map(String).join('\n') : ''
  }
  t.match(await described(), /AND extensions = \{\}.*AND sloppy_quorum = true\n/s)
  await world.query(0, 'ALTER TABLE k.sloppy WITH sloppy_quorum = false', ONE)
  t.notMatch(await described(), /sloppy_quorum/)
  await world.query(0, 'ALTER TABLE k.sloppy WITH sloppy_quorum = true', ONE)
  await t.rejects(world.query(0, 'ALTER TABLE k.sloppy WITH sloppy_quorum = 3', ONE), /SYNTAX_ERROR/)
  await world.run(3_000)
  machines[2]!.crash(0)
  machines[3]!.crash(0)
  await world.run(30_000)
  let refused = 0
  for (let i = 0; i < 40; i++) {
    await world.query(i % 2, `INSERT INTO k.sloppy (p, v) VALUES (${i}, ${i})`, QUORUM)
    const strict = world.query(i % 2, `INSERT INTO k.strict (p, v) VALUES (${i}, ${i})`, QUORUM)
    await strict.catch((error: Error) => {
      if (!error.message.includes('UNAVAILABLE')) throw error
      refused++
    })
  }
  t.ok(refused > 5, `${refused} writes had one replica only`)
  for (const [text, code] of [
    ['INSERT INTO k.sloppy (p, v) VALUES (1, 1)', 'ALL'],
    ['SELECT * FROM k.sloppy', 'QUORUM'],
  ] as const)
    await t.rejects(world.query(0, text, code === 'ALL' ? ALL : QUORUM), /UNAVAILABLE/, 'two of four are not enough')
  machines[2]!.start()
  machines[3]!.start()
  await world.until(() => machines.every(({ phase }) => phase === 'serving'))
  await world.run(40_000)
  machines[0]!.crash(0)
  await world.run(30_000)
  const answer = await world.query(3, 'SELECT p FROM k.sloppy', QUORUM)
  t.equal(answer.kind === 'rows' && answer.rows.length, 40)
})
