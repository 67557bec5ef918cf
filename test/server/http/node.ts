/** Key-value over HTTP as a part of a node: what settings say, what a restart leaves, and how it stops. */

import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type NodeOptions, type StartedNode, startNode } from '../../../lib/index.ts'
import type { Log } from '../../../lib/runtime/runtime.ts'
import { rowsOf, ToolClient } from '../../../tools/support/client.ts'
import { ask } from '../../support/http-world.ts'

async function start(t: Test, options: NodeOptions): Promise<StartedNode> {
  const node = await startNode(options)
  t.teardown(() => node.close())
  return node
}

async function portOf(node: StartedNode): Promise<number> {
  return Number((await node.http)!.split(':')[1])
}

async function cql(node: StartedNode, text: string): Promise<string[]> {
  const client = await ToolClient.connect(node.address, node.port)
  const rows = rowsOf(await client.query(text))
  client.close()
  return rows.map((row) => [...row.values()].map(({ bytes }) => bytes?.toString() ?? 'null').join(' '))
}

t.test('what was stored is there after a restart, and CQL has it', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'polyxena-http-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const first = await startNode({ directory, settings: { http_port: 0 } })
  const put = await ask(await portOf(first), 'PUT', '/kv/kept', { body: 'value', headers: { 'content-type': 'a/b' } })
  t.equal(put.status, 204)
  await first.close()
  const node = await start(t, { directory, settings: { http_port: 0 } })
  const port = await portOf(node)
  const got = await ask(port, 'GET', '/kv/kept')
  t.match(
    { status: got.status, body: got.body.toString(), tag: got.headers.etag },
    { status: 200, body: 'value', tag: put.headers.etag },
  )
  t.same(await cql(node, 'SELECT key, content_type, value FROM kv.items'), ['kept a/b value'])
  const [replication] = await cql(node, "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'kv'")
  t.match(replication, /NetworkTopologyStrategy.*datacenter1.*1/s)
  const metrics = new Map((await rowsOfMetrics(node)).map(([name, value]) => [name, value]))
  t.ok(metrics.get('http_requests')! >= 1 && metrics.get('http_answers_200')! >= 1)
  t.equal(metrics.get('http_bytes_in_flight'), 0)
})

async function rowsOfMetrics(node: StartedNode): Promise<[string, number][]> {
  const client = await ToolClient.connect(node.address, node.port)
  const rows = rowsOf(await client.query('SELECT name, value FROM system_views.polyxena_metrics'))
  client.close()
  return rows.map((row) => [row.get('name')!.bytes!.toString(), row.get('value')!.bytes!.readDoubleBE(0)])
}

t.test('it is off unless it is asked for, and a port that is taken leaves CQL', async (t) => {
  const off = await start(t, { memory: true })
  t.equal(await off.http, null)
  const first = await start(t, { memory: true, settings: { http_port: 0 } })
  const errors: string[] = []
  const silent = (): void => {}
  const log: Log = {
    trace: silent,
    debug: silent,
    info: silent,
    warn: silent,
    error: (_, message) => errors.push(message),
  }
  const second = await start(t, { memory: true, settings: { http_port: await portOf(first) }, log })
  t.equal(await second.http, null)
  t.match(errors, [/Keys and values are not served over HTTP: 127\.0\.0\.1:\d+ is in use by another process/])
  t.equal((await cql(second, 'SELECT key FROM system.local')).length, 1)
})

t.test('replicas as the settings say', async (t) => {
  const node = await start(t, {
    memory: true,
    settings: { http_port: 0, http_replication: new Map([['datacenter1', 2]]) },
  })
  // It has a majority of two nodes to ask, and there is one.
  const answer = await ask(await portOf(node), 'PUT', '/kv/a', { body: 'v' })
  t.match([answer.status, answer.json.error], [503, 'UNAVAILABLE'])
  t.equal(
    (await ask(await portOf(node), 'PUT', '/kv/a', { body: 'v', headers: { 'x-consistency': 'ONE' } })).status,
    204,
  )
})

t.test('a node that stops ends connections that wait, and takes no new ones', async (t) => {
  const node = await startNode({ memory: true, settings: { http_port: 0 } })
  const port = await portOf(node)
  const agent = new http.Agent({ keepAlive: true })
  t.equal((await ask(port, 'GET', '/kv/a', { agent })).status, 404)
  await node.close()
  await t.rejects(ask(port, 'GET', '/kv/a'), { code: 'ECONNREFUSED' })
  agent.destroy()
})
