/**
 * Two data centres that do not reach each other, both of which are written to, as an application meets it: an unmodified driver in each, a table
 * that keeps concurrent versions, and what the README tells of it.
 */
import { Client, policies, types } from 'cassandra-driver'
import t, { type Test } from 'tap'
import { type StartedCluster, startCluster } from '../../../lib/index.ts'

const { localQuorum, localOne } = types.consistencies
const { AllowListPolicy, DCAwareRoundRobinPolicy } = policies.loadBalancing

function connect(t: Test, cluster: StartedCluster, datacenter: string): Client {
  const nodes = cluster.nodes.filter((node) => node.datacenter === datacenter)
  const client = new Client({
    contactPoints: nodes.map(({ address }) => address),
    localDataCenter: datacenter,
    protocolOptions: { port: cluster.port },
    queryOptions: { consistency: localQuorum, prepare: true },
  })
  t.teardown(() => client.shutdown())
  return client
}

interface Cart {
  readonly items: string[]
  readonly vclock: Buffer
}

async function carts(client: Client, consistency = localQuorum): Promise<Cart[]> {
  const { rows } = await client.execute(
    'SELECT items, vclock(items) AS vclock FROM shop.carts WHERE user = ?',
    ['ann'],
    {
      consistency,
    },
  )
  return rows.map((row) => ({ items: row.get('items') as string[], vclock: row.get('vclock') as Buffer }))
}

const all = (found: readonly Cart[]): string[] => found.map(({ items }) => items.join('+')).sort()

/** What each node answers by itself. */
async function everywhere(cluster: StartedCluster, t: Test, wanted: string[]): Promise<void> {
  for (const { address, datacenter, number } of cluster.nodes) {
    const client = new Client({
      contactPoints: [address],
      localDataCenter: datacenter,
      protocolOptions: { port: cluster.port },
      policies: {
        loadBalancing: new AllowListPolicy(new DCAwareRoundRobinPolicy(datacenter), [`${address}:${cluster.port}`]),
      },
      queryOptions: { prepare: true },
    })
    let found: string[] = []
    // Hints are on their way.
    for (let tries = 0; tries < 300 && JSON.stringify(found) !== JSON.stringify(wanted); tries++) {
      if (tries > 0) await new Promise((resolve) => setTimeout(resolve, 100))
      found = all(await carts(client, localOne))
    }
    t.same(found, wanted, `node ${number} alone`)
    await client.shutdown()
  }
}

t.test('two data centres part, both are written to, and nothing is lost', async (t) => {
  const cluster = await startCluster({
    dcs: { east: 2, west: 2 },
    memory: true,
    settings: { write_request_timeout: 500 },
  })
  t.teardown(() => cluster.close())
  const [east, west] = [connect(t, cluster, 'east'), connect(t, cluster, 'west')]
  await east.execute(
    "CREATE KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 2, 'west': 2}",
    [],
    { prepare: false },
  )
  await east.execute(
    "CREATE TABLE shop.carts (user text PRIMARY KEY, items set<text>) WITH resolution = 'vclock'",
    [],
    {
      prepare: false,
    },
  )
  const put = (client: Client, items: string[], vclock: Buffer | null): Promise<types.ResultSet> =>
    client.execute('INSERT INTO shop.carts (user, items) VALUES (?, ?) USING VCLOCK ?', ['ann', items, vclock])
  await put(east, ['book'], null)
  await everywhere(cluster, t, ['book'])
  const [seenInEast, seenInWest] = [(await carts(east))[0]!, (await carts(west))[0]!]
  t.same(seenInEast.vclock, seenInWest.vclock)

  cluster.partition([1, 2], [3, 4])
  await put(east, [...seenInEast.items, 'pen'], seenInEast.vclock)
  await put(west, [...seenInWest.items, 'lamp'], seenInWest.vclock)
  t.same(all(await carts(east)), ['book+pen'])
  t.same(all(await carts(west)), ['book+lamp'])

  cluster.heal()
  await cluster.settle()
  await everywhere(cluster, t, ['book+lamp', 'book+pen'])
  const { info } = await east.execute('SELECT items FROM shop.carts WHERE user = ?', ['ann'])
  t.match(info.warnings, [/1 key has siblings in shop.carts/])

  const siblings = await carts(west)
  t.same(siblings[0]!.vclock, siblings[1]!.vclock, 'one context for all of them')
  await put(west, [...new Set(siblings.flatMap(({ items }) => items))].sort(), siblings[0]!.vclock)
  t.same(all(await carts(west)), ['book+lamp+pen'])
  await everywhere(cluster, t, ['book+lamp+pen'])

  await put(east, ['hat'], seenInEast.vclock)
  t.same(all(await carts(east)), ['book+lamp+pen', 'hat'], 'who has seen only the beginning replaces only that')
  const [{ vclock }] = (await carts(east)) as [Cart, Cart]
  await east.execute('DELETE FROM shop.carts USING VCLOCK ? WHERE user = ?', [vclock, 'ann'])
  await everywhere(cluster, t, [])
})
