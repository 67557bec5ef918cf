/** Nodes that are taken out of a ring with data in it: nothing is lost, and it is said what cannot be done. */
import t, { type Test } from 'tap'
import { type StartedCluster, startCluster } from '../../../lib/index.ts'
import { Consistency } from '../../../lib/types/consistency.ts'
import { plainParameters } from '../../../protocol/requests.ts'
import { AdminClient } from '../../../tools/nodetool/client.ts'
import { runTool } from '../../../tools/nodetool/run.ts'
import { rowsOf, ToolClient, VERSION } from '../../../tools/support/client.ts'

const ADMIN_PORT = 7199
const ROWS = 100
/** A machine that is busy with other things takes its time. */
const PATIENT_MS = 20_000

async function started(t: Test): Promise<StartedCluster> {
  const settings = {
    admin_port: ADMIN_PORT,
    drain_grace: 100,
    read_request_timeout: PATIENT_MS,
    range_request_timeout: PATIENT_MS,
    write_request_timeout: PATIENT_MS,
  }
  const cluster = await startCluster({ memory: true, nodes: 4, settings })
  t.teardown(() => cluster.close())
  return cluster
}

type Run = (text: string, level?: number) => Promise<ReturnType<typeof rowsOf>>

async function connect(t: Test, cluster: StartedCluster, number: number): Promise<Run> {
  const { address, port } = cluster.node(number)
  const client = await ToolClient.connect(address, port)
  t.teardown(() => client.close())
  return async (query, level = Consistency.QUORUM) => {
    const parameters = plainParameters(VERSION, level)
    for (let tries = 0; ; tries++) {
      try {
        const response = await client.request({ kind: 'query', query, parameters })
        return response.kind === 'rows' ? rowsOf(response) : []
      } catch (error) {
        // Nodes that had no turn for long take each other for dead.
        if (tries === 20 || !AGAIN.has((error as { code?: string }).code ?? '')) throw error
        await new Promise((resolve) => void setTimeout(resolve, 250))
      }
    }
  }
}

const AGAIN = new Set(['UNAVAILABLE', 'WRITE_TIMEOUT', 'READ_TIMEOUT', 'WRITE_FAILURE', 'READ_FAILURE'])

async function nodetool(cluster: StartedCluster, number: number, ...words: string[]): Promise<string> {
  await cluster.node(number).started?.admin
  let output = ''
  const print = (text: string): void => {
    output += text
  }
  const connect = () => new AdminClient({ host: cluster.node(number).address, port: ADMIN_PORT, socket: null })
  const status = await runTool(words, { connect, print, printError: print })
  return `${status} ${output}`
}

async function fill(run: Run, keyspace: string, replicas: number): Promise<void> {
  await run(
    `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': ${replicas}}`,
  )
  await run(`CREATE TABLE ${keyspace}.t (id int PRIMARY KEY, v text)`)
  const all = Array.from({ length: ROWS }, (_, id) => id)
  await Promise.all(all.map((id) => run(`INSERT INTO ${keyspace}.t (id, v) VALUES (${id}, 'value ${id}')`)))
}

/** What a node has itself, where it is a replica of all. */
const own = async (run: Run, keyspace: string): Promise<number> =>
  (await run(`SELECT id FROM ${keyspace}.t`, Consistency.ONE)).length

t.test('a dead node is removed, and a living one leaves: others have all before the ring changes', async (t) => {
  const cluster = await started(t)
  const one = await connect(t, cluster, 1)
  await fill(one, 'three', 3)
  const hostId = cluster.node(4).hostId!
  const ringTokens = [...(await nodetool(cluster, 2, 'ring')).matchAll(/^(\S+) .* (-?\d+) *$/gm)]
    .filter(([, address]) => address === cluster.node(2).address)
    .map(([, , token]) => token)
  const infoTokens = [...(await nodetool(cluster, 2, 'info', '-T')).matchAll(/^Token +: (\S+)$/gm)].map(
    ([, one]) => one,
  )
  t.same([...infoTokens].sort(), [...ringTokens].sort(), 'its tokens are those that it has in the ring')
  t.ok(infoTokens.length > 1)
  t.equal(await nodetool(cluster, 1, 'removenode', 'status'), '0 RemovalStatus: No token removals in process.\n')
  t.match(
    await nodetool(cluster, 1, 'removenode', hostId),
    /^2 error: Node \/[\d.]+:7000 is alive and owns this ID\. Use/,
  )
  t.match(await nodetool(cluster, 1, 'removenode', hostId.replace(/^./, 'g')), /^2 error: Host ID not found\.\n/)
  t.match(await nodetool(cluster, 1, 'removenode', cluster.node(1).hostId!), /^2 error: Cannot remove self\n/)
  t.match(await nodetool(cluster, 1, 'removenode', 'force'), /^2 error: No nodes to force removal on/)
  t.match(await nodetool(cluster, 1, 'removenode'), /^1 nodetool: Missing an argument/)
  t.match(await nodetool(cluster, 1, 'assassinate', cluster.node(4).address), /^2 error: Endpoint still alive/)

  await fill(one, 'single', 1)
  await cluster.node(4).stop()
  t.match(
    await nodetool(cluster, 1, 'removenode', hostId),
    /^2 error: Data of single cannot be fetched: [\d.:]+ is down/,
  )
  t.equal(await nodetool(cluster, 1, 'removenode', 'status'), '0 RemovalStatus: No token removals in process.\n')
  await one('DROP KEYSPACE single')

  // Writes go on, while ranges are between replicas, too.
  let written = ROWS
  let over = false
  const writing = (async () => {
    for (; !over; written++) await one(`INSERT INTO three.t (id, v) VALUES (${written}, 'later')`)
  })()
  t.equal(await nodetool(cluster, 2, 'removenode', hostId), '0 ')
  over = true
  await writing
  for (const number of [1, 2, 3])
    t.equal(await own(await connect(t, cluster, number), 'three'), written, `node ${number} has all`)
  t.notMatch(await nodetool(cluster, 3, 'status'), cluster.node(4).address)
  t.match(await nodetool(cluster, 1, 'removenode', hostId), /^2 error: Host ID not found/)
  await t.rejects(cluster.node(4).restart(), /removed/)

  await fill(one, 'single', 1)
  t.match(
    await nodetool(cluster, 3, 'decommission'),
    /^1 nodetool: Unsupported operation: Not enough live nodes to maintain replication factor in keyspace \w+ \(RF = 3, N = 3\)\. Perform a forceful/,
  )
  t.equal(await nodetool(cluster, 3, 'decommission', '--force'), '0 ')
  t.equal((await one('SELECT id FROM single.t')).length, ROWS, 'also what it alone had')
  t.equal((await one('SELECT id FROM three.t')).length, written)
  t.match(await nodetool(cluster, 3, 'netstats'), /^0 Mode: DECOMMISSIONED\n/)
  t.match(await nodetool(cluster, 3, 'decommission'), /^1 .*already decommissioned/)
  t.notMatch(await nodetool(cluster, 1, 'status'), cluster.node(3).address)
})
