/** A traced statement in a cluster: the nodes that took part in it tell what they did, in rows that every client finds. */
import { Client, types } from 'cassandra-driver'
import t from 'tap'
import { startCluster } from '../../../lib/index.ts'

t.test('events come from the coordinator and from the replicas', async (t) => {
  const cluster = await startCluster({ memory: true, nodes: 3 })
  t.teardown(() => cluster.close())
  const { address, port } = cluster.node(1)
  const client = new Client({
    contactPoints: [`${address}:${port}`],
    localDataCenter: 'datacenter1',
    pooling: { heartBeatInterval: 0 },
  })
  t.teardown(() => client.shutdown())
  await client.connect()
  await client.execute("CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}")
  await client.execute('CREATE TABLE k.t (k int PRIMARY KEY, v int)')
  type Event = { readonly activity: string; readonly source: string }
  const eventsOf = async (traceId: types.Uuid): Promise<Event[]> => {
    const { events, coordinator } = await client.metadata.getTrace(traceId, types.consistencies.quorum)
    return events.map(({ activity, source }) => ({
      activity: String(activity),
      source: String(source) === String(coordinator) ? 'coordinator' : 'replica',
    }))
  }
  /** Replicas store what they did themselves, when they have answered. */
  const traced = async (text: string): Promise<Event[]> => {
    const { info } = await client.execute(text, [], { traceQuery: true, consistency: types.consistencies.all })
    for (let tries = 0; ; tries++) {
      const events = await eventsOf(info.traceId)
      if (tries === 100 || count(events, 'replica', /./) === 4) return events
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const count = (events: Event[], source: string, activity: RegExp): number =>
    events.filter((event) => event.source === source && activity.test(event.activity)).length
  for (const [text, verb] of [
    ['INSERT INTO k.t (k, v) VALUES (1, 1)', 'MUTATION'],
    ['SELECT * FROM k.t WHERE k = 1', 'READ'],
  ] as const) {
    const events = await traced(text)
    t.equal(count(events, 'coordinator', new RegExp(`^Sending ${verb} message to /`)), 2, text)
    t.equal(count(events, 'coordinator', /^Processing response from /), 2, text)
    t.equal(count(events, 'replica', new RegExp(`^${verb} message received from /`)), 2, text)
    t.equal(count(events, 'replica', /^Enqueuing response to \//), 2, text)
    t.match(events.at(0)?.activity, /^Parsing /)
  }
})
