/** The Node driver and an embedded node in memory that it speaks to; both end with the test. */
import { Client } from 'cassandra-driver'
import { type StartedNode, startNode } from '../../lib/index.ts'

export async function nodeAndClient(t: {
  teardown(end: () => Promise<void>): void
}): Promise<{ readonly node: StartedNode; readonly client: Client }> {
  const node = await startNode({ memory: true })
  const client = new Client({
    contactPoints: [node.address],
    protocolOptions: { port: node.port },
    localDataCenter: 'datacenter1',
  })
  t.teardown(async () => {
    await client.shutdown()
    await node.close()
  })
  return { node, client }
}
