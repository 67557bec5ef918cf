/**
 * The Mapper of the Node cassandra-driver 4.10 against an embedded node: one model over two tables, conditions, TTLs, timestamps, collections,
 * user-defined types, counters, batches, paging, an index, a column added meanwhile. ADDRESS=a:port asks another server (DC=x: its data centre).
 */
import cassandra from 'cassandra-driver'
import t from 'tap'
import { startNode } from '../../lib/index.ts'

const { types } = cassandra
const { Mapper, UnderscoreCqlToCamelCaseMappings, q } = cassandra.mapping

const given = process.env.ADDRESS?.split(':')
const node = given ? null : await startNode({ memory: true })
const client = new cassandra.Client({
  contactPoints: [given?.[0] ?? node!.address],
  protocolOptions: { port: Number(given?.[1] ?? node?.port ?? 9042) },
  localDataCenter: process.env.DC ?? 'datacenter1',
  keyspace: 'system',
})
t.teardown(async () => {
  await client.shutdown()
  await node?.close()
})

interface Video {
  videoId: cassandra.types.Uuid
  userId: string
  addedAt: Date
  name: string | null
  likes: number
  tags: string[] | null
  marks: number[] | null
  facts: Record<string, number> | null
  place: { street: string; zip: number | null } | null
  pair: cassandra.types.Tuple | null
  kept: string
}

const KEYSPACE = 'conformance_mapper'
const COLUMNS =
  'video_id uuid, user_id text, added_at timestamp, name text, likes int, tags set<text>, marks list<int>, facts map<text, int>, ' +
  'place frozen<place>, pair frozen<tuple<int, text>>, kept text'

async function schema(): Promise<void> {
  await client.execute(`DROP KEYSPACE IF EXISTS ${KEYSPACE}`)
  await client.execute(
    `CREATE KEYSPACE ${KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
  )
  await client.execute(`USE ${KEYSPACE}`)
  await client.execute('CREATE TYPE place (street text, zip int)')
  await client.execute(`CREATE TABLE videos (${COLUMNS}, PRIMARY KEY (video_id))`)
  await client.execute(
    `CREATE TABLE videos_by_user (${COLUMNS}, PRIMARY KEY (user_id, added_at, video_id)) WITH CLUSTERING ORDER BY (added_at DESC, video_id ASC)`,
  )
  await client.execute('CREATE INDEX videos_by_name ON videos (name)')
  await client.execute('CREATE TABLE views (page text, day int, hits counter, PRIMARY KEY (page, day))')
}

await client.connect()
await schema()
const mapper = new Mapper(client, {
  models: {
    Video: {
      tables: ['videos', 'videos_by_user'],
      mappings: new UnderscoreCqlToCamelCaseMappings(),
      keyspace: KEYSPACE,
      columns: {
        kept: {
          name: 'kept',
          toModel: (text: string | null) => text?.toUpperCase(),
          fromModel: (text: string) => text.toLowerCase(),
        },
      },
    },
    Views: { tables: ['views'], keyspace: KEYSPACE },
  },
})
const videos = mapper.forModel<Video>('Video')
const views = mapper.forModel<{ page: string; day: number; hits: cassandra.types.Long }>('Views')

const ID = types.Uuid.fromString('f47ac10b-58cc-4372-a567-0e02b2c3d479')
const AT = new Date('2024-02-29T12:34:56.789Z')
const KEY = { videoId: ID, userId: 'ann', addedAt: AT }
const first: Video = {
  ...KEY,
  name: 'one',
  likes: 1,
  tags: ['a', 'b'],
  marks: [1, 2],
  facts: { x: 1 },
  place: { street: 'Main "St"\n', zip: 7 },
  pair: new types.Tuple(1, 'eins'),
  kept: 'LOUD',
}
const get = async (): Promise<Video> => (await videos.get({ videoId: ID }))!
const byUser = async (): Promise<Video> => (await videos.get(KEY))!
const named = videos.mapWithQuery(`SELECT * FROM ${KEYSPACE}.videos WHERE name = ?`, ({ name }) => [name])
const told = async (query: string): Promise<unknown> => (await client.execute(query)).first().get(0)

t.test('a document goes to each table of its model, and comes back from both', async (t) => {
  await videos.insert(first)
  t.match(await get(), first)
  t.match(await byUser(), first)
  t.equal(await told('SELECT kept FROM videos'), 'loud')
  t.equal(await videos.get({ videoId: types.Uuid.random() }), null)
  t.same(Object.keys((await videos.get({ videoId: ID }, { fields: ['name', 'likes'] }))!), ['name', 'likes'])
  t.match(
    (await named({ name: 'one' })).toArray().map((video) => String(video.videoId)),
    [String(ID)],
  )
})

t.test('updates of values and collections', async (t) => {
  await videos.update({
    ...KEY,
    name: 'two',
    tags: q.append(['c']),
    marks: q.prepend([0]),
    facts: q.append({ y: 2 }),
  })
  await videos.update({ ...KEY, tags: q.remove(['a']), marks: q.append([3]), facts: q.remove(['x']) })
  const wanted = { name: 'two', tags: ['b', 'c'], marks: [0, 1, 2, 3], facts: { y: 2 } }
  t.match(await get(), wanted)
  t.match(await byUser(), wanted)
  await videos.update({ ...KEY, tags: null, place: { street: 'x' }, pair: new types.Tuple(null, 'zwei') })
  const { tags, place, pair } = await get()
  t.equal(tags, null)
  t.same(place, { street: 'x', zip: null })
  t.same(pair?.values(), [null, 'zwei'])
  t.equal((await named({ name: 'one' })).toArray().length, 0, 'the index follows')
})

t.test('conditions', async (t) => {
  const views = { fields: ['videoId', 'name', 'likes'] }
  const one = new Mapper(client, {
    models: { Video: { tables: ['videos'], mappings: new UnderscoreCqlToCamelCaseMappings(), keyspace: KEYSPACE } },
  }).forModel<Partial<Video>>('Video')
  let result = await one.insert({ videoId: ID, name: 'other', likes: 9 }, { ...views, ifNotExists: true })
  t.equal(result.wasApplied(), false)
  t.match(result.first(), { name: 'two', likes: 1 })
  result = await one.update({ videoId: ID, likes: 2 }, { when: { likes: 5 } })
  t.equal(result.wasApplied(), false)
  t.match(result.first(), { likes: 1 })
  result = await one.update({ videoId: ID, likes: 2 }, { when: { likes: q.and(q.gte(1), q.lt(5)), name: 'two' } })
  t.equal(result.wasApplied(), true)
  t.equal((await get()).likes, 2)
  result = await one.update({ videoId: types.Uuid.random(), likes: 2 }, { ifExists: true })
  t.equal(result.wasApplied(), false)
  t.equal((await one.remove({ videoId: ID }, { when: { name: q.in_(['x', 'y']) } })).wasApplied(), false)
  t.equal((await one.remove({ videoId: ID }, { when: { name: q.notEq('two') } })).wasApplied(), false)
  t.equal((await one.remove({ videoId: ID }, { ifExists: true })).wasApplied(), true)
  t.equal(await get(), null)
  t.equal((await one.insert({ videoId: ID, name: 'again' }, { ifNotExists: true })).wasApplied(), true)
})

t.test('TTLs and timestamps', async (t) => {
  await videos.insert({ ...KEY, videoId: ID, name: 'short' }, { ttl: 100 })
  const left = Number(await told(`SELECT ttl(name) FROM videos WHERE video_id = ${ID}`))
  t.ok(left > 0 && left <= 100, String(left))
  const past = types.Long.fromNumber(1_000_000)
  await videos.update({ ...KEY, name: 'past' }, {}, { timestamp: past })
  t.equal((await get()).name, 'short')
  await videos.update({ ...KEY, likes: 4 }, { ttl: 50 })
  await videos.insert(
    { ...KEY, videoId: types.Uuid.fromString('00000000-0000-0000-0000-000000000001') },
    {},
    { timestamp: past },
  )
  t.equal(
    String(await told('SELECT writetime(kept) FROM videos WHERE video_id = 00000000-0000-0000-0000-000000000001')),
    'null',
  )
})

t.test('find: bounds, order, limit, pages', async (t) => {
  const many = Array.from({ length: 100 }, (_, i) => ({
    videoId: types.Uuid.random(),
    userId: 'bob',
    addedAt: new Date(AT.getTime() + i * 1000),
    name: `v${i}`,
    likes: i,
  }))
  for (let i = 0; i < many.length; i += 10)
    await mapper.batch(many.slice(i, i + 10).map((video) => videos.batching.insert(video)))
  const names = (result: cassandra.mapping.Result<Video>): (string | null)[] => result.toArray().map(({ name }) => name)
  const at = (i: number): Date => many[i]!.addedAt
  t.same(names(await videos.find({ userId: 'bob' }, { limit: 3 })), ['v99', 'v98', 'v97'])
  t.same(names(await videos.find({ userId: 'bob' }, { limit: 2, orderBy: { addedAt: 'asc' } })), ['v0', 'v1'])
  t.same(names(await videos.find({ userId: 'bob', addedAt: q.and(q.gt(at(4)), q.lte(at(6))) })), ['v6', 'v5'])
  t.same(names(await videos.find({ userId: q.in_(['bob', 'nobody']), addedAt: at(7) })), ['v7'])
  const seen: (string | null)[] = []
  let pageState: string | undefined
  do {
    const options = { fetchSize: 33, ...(pageState === undefined ? {} : { pageState }) }
    // Its types say that a page state is a number; it is text.
    const result = (await videos.find({ userId: 'bob' }, {}, options as never)) as cassandra.mapping.Result<Video> & {
      pageState: string
    }
    seen.push(...names(result))
    pageState = result.pageState
  } while (pageState)
  t.same(seen, many.map(({ name }) => name).reverse())
  const all = await videos.findAll({ fields: ['name'] })
  t.ok(all.toArray().length >= 100)
  const search = videos.mapWithQuery(
    'SELECT name, likes FROM videos_by_user WHERE user_id = ? AND added_at IN ?',
    (video: { user: string; at: Date[] }) => [video.user, video.at],
  )
  t.same(names(await search({ user: 'bob', at: [at(1), at(3)] })), ['v3', 'v1'])
})

t.test('batches', async (t) => {
  const ids = [types.Uuid.random(), types.Uuid.random()]
  const [one, two] = ids.map((videoId) => ({ videoId, userId: 'cid', addedAt: AT }))
  const { batching } = videos
  await mapper.batch(
    [batching.insert({ ...one, name: 'batch' }), batching.insert({ ...two, name: 'batch' }, { ttl: 10 })],
    {
      logged: true,
    },
  )
  await mapper.batch([batching.update({ ...one, name: 'new' }), batching.remove(two)], { logged: false })
  t.same(
    (await videos.find({ userId: 'cid' })).toArray().map(({ name }) => name),
    ['new'],
  )
})

t.test('counters', async (t) => {
  await views.update({ page: 'p', day: 1, hits: q.incr(5) } as object)
  await views.update({ page: 'p', day: 1, hits: q.decr(2) } as object)
  await views.update({ page: 'p', day: 2, hits: q.incr(types.Long.fromString('9007199254740993')) } as object)
  t.same(
    (await views.find({ page: 'p' })).toArray().map(({ day, hits }) => [day, String(hits)]),
    [
      [1, '3'],
      [2, '9007199254740993'],
    ],
  )
})

t.test('removals', async (t) => {
  await videos.insert(first)
  await videos.remove(
    { ...KEY, name: null, tags: null },
    { deleteOnlyColumns: true, fields: ['videoId', 'userId', 'addedAt', 'name', 'tags'] },
  )
  t.match(await byUser(), { name: null, tags: null, likes: 1 })
  await videos.remove(KEY)
  t.equal(await get(), null)
  t.equal(await byUser(), null)
})

t.test('a column that is added while the mapper is at work', async (t) => {
  await videos.insert(first)
  await get()
  await client.execute('ALTER TABLE videos ADD extra frozen<map<text, int>>')
  await client.execute(`UPDATE videos SET extra = {'a': 1} WHERE video_id = ${ID}`)
  t.match(await get(), { name: 'one', kept: 'LOUD' })
  const fresh = new Mapper(client, { models: { Video: { tables: ['videos'], keyspace: KEYSPACE } } })
  t.match(await fresh.forModel('Video').get({ video_id: ID }), { name: 'one', extra: { a: 1 } })
  await client.execute(`DROP KEYSPACE ${KEYSPACE}`)
})
