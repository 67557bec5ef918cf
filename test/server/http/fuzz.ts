/** Some of the requests of `npm run fuzz -- --http`: every one is answered rightly, and nothing of them is left. */
import t from 'tap'
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { fuzzHttp } from '../../../tools/http-fuzz.ts'
import { ask, openHttpWorld } from '../../support/http-world.ts'

t.test('requests of all kinds', async (t) => {
  const seed = Number(process.env.TEST_SEED ?? 11)
  await using world = await openHttpWorld({ bodyStallMs: 400, lingerMs: 20, valueBytesMax: 200_000 })
  const place = { address: '127.0.0.1', port: world.port, valueBytesMax: 200_000, stalls: true }
  const { problems, kinds, statuses } = await fuzzHttp(place, createSeededRandom(seed), 500)
  t.same(problems, [], `TEST_SEED=${seed}`)
  t.ok(kinds.size >= 13, JSON.stringify([...kinds]))
  for (const status of [200, 201, 204, 300, 400, 404, 408, 412, 413])
    t.ok(statuses.has(status), `${status} was answered`)
  while (world.service.inFlight > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.match({ bytes: world.counters.bytes, incidents: world.counters.incidents }, { bytes: 0, incidents: 0 })
  t.equal((await ask(world.port, 'GET', '/kv/short')).status, 404)
  t.equal((await ask(world.port, 'GET', '/kv/gone')).status, 404)
})
