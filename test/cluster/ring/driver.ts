/** The Node driver's token map, which it makes by itself from tokens, racks and replication, names the replicas that we do. */
import { createRequire } from 'node:module'
import t, { type Test } from 'tap'
import type { Replication } from '../../../cluster/coordinator/levels.ts'
import { Placements } from '../../../cluster/ring/placement.ts'
import type { Topology } from '../../../cluster/ring/topology.ts'
import { murmur3Token } from '../../../lib/base/hash/murmur3.ts'
import { createDice, testSeed } from '../../support/random.ts'
import { network, randomTopology, simple } from '../../support/rings.ts'

/** The parts of the driver that have no public door: they are what its policies ask. */
const require = createRequire(import.meta.url)
interface DriverHost {
  readonly address: string
}
interface DriverMetadata {
  keyspaces: Record<string, unknown>
  setPartitioner(name: string): void
  buildTokens(hosts: { values(): unknown[] }): void
  getReplicas(keyspace: string, key: Buffer): DriverHost[]
}
const { metadata, defaultOptions } = require('cassandra-driver') as {
  metadata: { Metadata: new (options: unknown, connection: unknown) => DriverMetadata }
  defaultOptions(): unknown
}
const { getByVersion } = require('cassandra-driver/lib/metadata/schema-parser') as {
  getByVersion(...given: unknown[]): {
    _createKeyspace(name: string, durable: boolean, strategy: string, options: Record<string, string>): unknown
  }
}

function driverMetadata(topology: Topology, replication: Replication): DriverMetadata {
  const driver = new metadata.Metadata(defaultOptions(), null)
  driver.setPartitioner('org.apache.cassandra.dht.Murmur3Partitioner')
  const hosts = Array.from(topology.nodes.values(), ({ hostId, datacenter, rack, tokens }) => ({
    address: hostId,
    datacenter,
    rack,
    tokens,
  }))
  driver.buildTokens({ values: () => hosts })
  const { datacenters, factor, strategy } = replication
  const options: Record<string, string> = { replication_factor: String(factor) }
  if (datacenters) {
    delete options.replication_factor
    for (const [name, count] of datacenters) options[name] = String(count)
  }
  const parser = getByVersion(defaultOptions(), null, null, [5, 0, 6], null)
  driver.keyspaces.shop = parser._createKeyspace('shop', true, strategy, options)
  return driver
}

function compare(t: Test, topology: Topology, replication: Replication, keys: number, what: string): void {
  const driver = driverMetadata(topology, replication)
  const placement = new Placements().of(replication, topology)
  const token = new Int32Array(2)
  let wrong = 0
  for (let i = 0; i < keys; i++) {
    const key = Buffer.from(`key ${i}`)
    murmur3Token(key, 0, key.length, token)
    const ours = placement.at(token[0]! ^ -0x80000000, token[1]!).natural.map(({ hostId }) => hostId)
    const theirs = driver.getReplicas('shop', key).map(({ address }) => address)
    if (ours.sort().join() !== theirs.sort().join()) wrong++
  }
  t.equal(wrong, 0, what)
}

t.test('10 000 keys', (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  for (let round = 0; round < 20; round++) {
    const topology = randomTopology(dice)
    const count = 1 + dice.int(4)
    compare(t, topology, simple(count), 500, `seed ${seed}, round ${round}, SimpleStrategy ${count}`)
    const nodes = [...topology.nodes.values()]
    for (const datacenter of new Set(nodes.map((node) => node.datacenter))) {
      const racks = new Set(nodes.filter((node) => node.datacenter === datacenter).map(({ rack }) => rack)).size
      // Where replicas outnumber racks, the driver counts a node with several tokens more than once; placement.ts looks at these.
      if (racks > 1 && count > racks) continue
      compare(
        t,
        topology,
        network({ [datacenter]: count }),
        500,
        `seed ${seed}, round ${round}, ${datacenter} ${count}`,
      )
    }
  }
  t.end()
})
