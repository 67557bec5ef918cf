/** Keys and values over HTTP in two data centres that part: both are written, both values stand when they meet again, and one PUT makes them one. */
import http from 'node:http'
import t from 'tap'
import { type StartedCluster, startCluster } from '../../../lib/index.ts'
import { ask } from '../../support/http-world.ts'

const KIB = 1024

let cluster: StartedCluster
/** Where each node serves, by its number. */
const places: { address: string; port: number }[] = []

t.before(async () => {
  cluster = await startCluster({
    dcs: { east: 1, west: 1 },
    memory: true,
    settings: { http_port: 0, http_value_size_max: 900 * KIB },
  })
  for (const { number } of cluster.nodes) places[number] = await placeOf(number)
})
t.teardown(() => cluster.close())

async function placeOf(number: number): Promise<{ address: string; port: number }> {
  const name = await cluster.node(number).started!.http
  const colon = name!.lastIndexOf(':')
  return { address: name!.slice(0, colon), port: Number(name!.slice(colon + 1)) }
}

function on(
  number: number,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: http.OutgoingHttpHeaders = {},
) {
  const { address, port } = places[number]!
  return ask(port, method, path, { address, headers, ...(body !== undefined && { body }) })
}

/** Asks again until the answer is so: what is on its way between data centres arrives some time. */
async function until(number: number, path: string, status: number) {
  for (let tries = 0; tries < 400; tries++) {
    const answer = await on(number, 'GET', path)
    if (answer.status === status) return answer
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${path} is not answered ${status} by node ${number}`)
}

t.test('two data centres part, both are written, and meet again', async (t) => {
  t.equal((await on(1, 'PUT', '/kv/cart', 'nothing')).status, 204)
  const before = await until(2, '/kv/cart', 200)
  cluster.partition([1], [2])
  const east = await on(1, 'PUT', '/kv/cart', 'apples', { 'if-match': before.headers.etag })
  const west = await on(2, 'PUT', '/kv/cart', 'pears', { 'if-match': before.headers.etag })
  t.same([east.status, west.status], [204, 204])
  t.equal((await on(1, 'GET', '/kv/cart')).body.toString(), 'apples')
  t.equal((await on(2, 'GET', '/kv/cart')).body.toString(), 'pears')
  // A level that both would have to answer is refused while they are apart.
  const all = await on(1, 'PUT', '/kv/other', 'x', { 'x-consistency': 'ALL' })
  t.ok([503, 504].includes(all.status), String(all.status))
  cluster.heal()
  await cluster.settle()
  for (const number of [1, 2]) {
    const conflict = await until(number, '/kv/cart', 300)
    const { siblings, conflict: isConflict } = conflict.json as { siblings: { value: string }[]; conflict: boolean }
    t.equal(isConflict, true)
    t.same(siblings.map(({ value }) => value).sort(), ['apples', 'pears'])
  }
  const { etag } = (await on(2, 'GET', '/kv/cart')).headers
  t.equal((await on(2, 'PUT', '/kv/cart', 'apples, pears', { 'if-match': etag })).status, 204)
  for (const number of [1, 2]) t.equal((await until(number, '/kv/cart', 200)).body.toString(), 'apples, pears')
})

t.test('what one node stores another has: large values, lists, conditions decided by all', async (t) => {
  const large = Buffer.alloc(900 * KIB, 'large')
  t.equal((await on(1, 'PUT', '/kv/files/large', large, { 'x-consistency': 'EACH_QUORUM' })).status, 204)
  t.ok((await on(2, 'GET', '/kv/files/large', undefined, { 'x-consistency': 'ALL' })).body.equals(large))
  t.equal((await on(1, 'PUT', '/kv/files/larger', Buffer.alloc(900 * KIB + 1))).status, 413)
  t.same((await on(2, 'GET', '/kv?table=files')).json, { keys: ['large'], cursor: null, lookedAt: 1 })
  const created = await Promise.all(
    [1, 2].map((number) => on(number, 'PUT', '/kv/once', `${number}`, { 'if-none-match': '*' })),
  )
  t.same(created.map(({ status }) => status).sort(), [201, 412])
})

t.test('a node that is killed answers nobody, and its connections are gone', async (t) => {
  const { address, port } = places[2]!
  const agent = new http.Agent({ keepAlive: true })
  t.equal((await ask(port, 'GET', '/kv/cart', { address, agent })).status, 200)
  await cluster.node(2).kill()
  await t.rejects(ask(port, 'GET', '/kv/cart', { address }), { code: 'ECONNREFUSED' })
  agent.destroy()
  t.equal((await on(1, 'GET', '/kv/cart')).body.toString(), 'apples, pears')
  const two = await on(1, 'GET', '/kv/cart', undefined, { 'x-consistency': 'TWO' })
  t.ok(
    [500, 503, 504].includes(two.status),
    `READ_FAILURE, UNAVAILABLE or READ_TIMEOUT, as it is found out: ${two.status}`,
  )
  await cluster.node(2).restart()
  places[2] = await placeOf(2)
  t.equal((await until(2, '/kv/cart', 200)).body.toString(), 'apples, pears')
})
