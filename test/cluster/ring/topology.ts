/** Changes of the topology, and what is refused. */
import t, { type Test } from 'tap'
import {
  changeTopology,
  datacenterSizes,
  type Topology,
  type TopologyChange,
  TopologyError,
} from '../../../cluster/ring/topology.ts'
import { hostId, ringNode, topologyOf } from '../../support/rings.ts'

const refused = (t: Test, before: Topology, change: TopologyChange, message: RegExp): void => {
  t.throws(() => changeTopology(before, change), { name: 'TopologyError', message })
}

t.test('a node joins, moves to another address, leaves and is removed', (t) => {
  const one = topologyOf(ringNode(1))
  const joining = changeTopology(one, {
    kind: 'join-start',
    node: ringNode(2, { status: 'joining', datacenter: 'dc2' }),
  })
  t.equal(joining.nodes.get(hostId(2))!.status, 'joining')
  t.equal(one.nodes.size, 1, 'what was before stays as it was')
  const again = changeTopology(joining, {
    kind: 'join-start',
    node: ringNode(2, { status: 'joining', tokens: ['5', '7'] }),
  })
  t.same(again.nodes.get(hostId(2))!.tokens, ['5', '7'], 'a join may begin anew')
  const joined = changeTopology(joining, { kind: 'join-finish', hostId: hostId(2) })
  t.equal(joined.nodes.get(hostId(2))!.status, 'normal')
  t.same(
    [...datacenterSizes(joined)],
    [
      ['dc1', 1],
      ['dc2', 1],
    ],
  )
  const moved = changeTopology(joined, {
    kind: 'address',
    hostId: hostId(2),
    endpoint: '10.1.1.1:7000',
    clientAddress: '10.1.1.1',
    clientPort: 9043,
  })
  t.equal(moved.nodes.get(hostId(2))!.endpoint, '10.1.1.1:7000')
  const leaving = changeTopology(moved, { kind: 'leave-start', hostId: hostId(2) })
  t.equal(leaving.nodes.get(hostId(2))!.status, 'leaving')
  t.same([...changeTopology(leaving, { kind: 'remove', hostId: hostId(2) }).nodes.keys()], [hostId(1)])
  t.end()
})

t.test('what is refused', (t) => {
  const before = topologyOf(ringNode(1), ringNode(2))
  const join = (given: Parameters<typeof ringNode>[1], number = 3): TopologyChange => ({
    kind: 'join-start',
    node: ringNode(number, { status: 'joining', ...given }),
  })
  refused(t, before, join({}, 2), /is a member already/)
  refused(t, before, join({ endpoint: '10.0.0.1:7000' }), /^A node with address 10\.0\.0\.1:7000 already exists/)
  refused(t, before, join({ clientAddress: '10.0.0.2' }), /serves clients at 10\.0\.0\.2:9042 already/)
  refused(t, before, join({ tokens: ['2'] }), /^Token 2 of .* belongs to 10\.0\.0\.2:7000/)
  refused(t, before, join({ tokens: [] }), /has no tokens/)
  refused(t, before, join({ tokens: ['4', '4'] }), /do not ascend/)
  refused(t, before, join({ tokens: ['9223372036854775808'] }), /no 64-bit number/)
  refused(t, before, join({ tokens: ['0x10'] }), /no 64-bit number/)
  refused(t, before, join({ capacity: 0 }), /capacity 0/)
  refused(t, before, join({ rack: '' }), /data centre and rack/)
  refused(t, before, join({ hostId: 'A' }), /no host id/)
  refused(t, before, join({ status: 'leaving' }), /cannot join/)
  refused(t, before, { kind: 'join-finish', hostId: hostId(1) }, /is not joining: it is normal/)
  refused(t, before, { kind: 'join-finish', hostId: hostId(9) }, /No node has the host id/)
  refused(t, before, { kind: 'remove', hostId: hostId(9) }, /No node has the host id/)
  refused(t, topologyOf(ringNode(1)), { kind: 'remove', hostId: hostId(1) }, /is the last node/)
  refused(t, topologyOf(ringNode(1)), { kind: 'leave-start', hostId: hostId(1) }, /is the last node/)
  const address = { endpoint: '10.0.0.1:7000', clientAddress: '10.0.0.8', clientPort: 9042 }
  refused(t, before, { kind: 'address', hostId: hostId(2), ...address }, /already exists/)
  t.ok(changeTopology(before, { kind: 'address', hostId: hostId(1), ...address }), 'its own address is not taken')
  t.throws(() => changeTopology(before, { kind: 'dance' } as unknown as TopologyChange), TopologyError)
  t.end()
})

t.test('with one owner left, a join may still be given up', (t) => {
  const topology = topologyOf(ringNode(1), ringNode(2, { status: 'joining' }))
  refused(t, topology, { kind: 'remove', hostId: hostId(1) }, /is the last node/)
  t.equal(changeTopology(topology, { kind: 'remove', hostId: hostId(2) }).nodes.size, 1)
  t.end()
})
