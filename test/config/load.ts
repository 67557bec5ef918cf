/** Settings from every source, their order, old spellings, and every mistake said. */
import t from 'tap'
import { CASSANDRA_SETTING_NAMES } from '../../lib/config/cassandra-names.ts'
import { ConfigError, type ConfigSources, resolveConfig } from '../../lib/config/load.ts'
import { NO_EFFECT } from '../../lib/config/no-effect.ts'
import { SETTINGS } from '../../lib/config/settings.ts'

const none: ConfigSources = { flags: new Map(), environment: {}, file: null }
const yaml = (text: string): ConfigSources => ({ ...none, file: { name: 'polyxena.yaml', text } })
const problemsOf = async (sources: ConfigSources): Promise<readonly string[]> => {
  try {
    await resolveConfig(sources)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('defaults', async (t) => {
  const { settings, memory, warnings } = await resolveConfig(none)
  t.match(settings, {
    rpc_address: '127.0.0.1',
    native_transport_port: 9042,
    dc: 'datacenter1',
    rack: 'rack1',
    commitlog_sync: 'group',
  })
  t.equal(memory, false)
  t.same(warnings, [])
})

t.test('flags go before variables, variables before the file', async (t) => {
  const file = { name: 'f', text: 'native_transport_port: 1\nstorage_port: 1\ndc: from-file' }
  const { settings } = await resolveConfig({
    file,
    environment: { POLYXENA_PORT: '2', POLYXENA_STORAGE_PORT: '2', POLYXENA_CONFIG: 'f', HOME: '/' },
    flags: new Map([['port', '3']]),
  })
  t.match(settings, { native_transport_port: 3, storage_port: 2, dc: 'from-file' })
})

t.test('units, old spellings, lists, and seeds as in cassandra.yaml', async (t) => {
  const { settings, warnings } = await resolveConfig(
    yaml(`
read_request_timeout_in_ms: 1234
write_request_timeout: 3s
commitlog_segment_size_in_mb: 8
compaction_throughput: 1MiB/s
data_file_directories: [/var/lib/x]
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1, 127.0.0.2"}]
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
`),
  )
  t.match(settings, {
    read_request_timeout: 1234,
    write_request_timeout: 3000,
    commitlog_segment_size: 8 * 1024 ** 2,
    compaction_throughput: 1024 ** 2,
  })
  t.same(settings.data_file_directories, ['/var/lib/x'])
  t.same(settings.seeds, ['127.0.0.1', '127.0.0.2'])
  t.equal(warnings.length, 1)
  t.match(warnings[0], /partitioner/)
})

t.test(
  'what is known from Cassandra and has no effect is said: in one line, or with what there is in its place',
  async (t) => {
    const { warnings } = await resolveConfig(
      yaml('partitioner: x\nmemtable_heap_space: 2GiB\nphi_convict_threshold: 8\ncolumn_index_size: 4KiB'),
    )
    t.same(warnings, [
      'polyxena.yaml: memtable_heap_space has no effect: memtables lie outside the heap; memtable_offheap_space limits them',
      'polyxena.yaml: column_index_size has no effect: every block of a partition is in the index; its size is a quarter of ' +
        'chunk_length_in_kb of the table',
      'polyxena.yaml: known from Cassandra, but without effect here: partitioner, phi_convict_threshold',
    ])
    for (const name of NO_EFFECT.keys()) {
      t.ok(CASSANDRA_SETTING_NAMES.has(name), `${name} is one of Cassandra's`)
      t.notOk(Object.hasOwn(SETTINGS, name), `${name} has no effect`)
    }
  },
)

t.test('a key without a value is as if it was not there', async (t) => {
  const text = Object.keys(SETTINGS).map((name) => `${name}:`)
  t.same((await resolveConfig(yaml(text.join('\n')))).settings, (await resolveConfig(none)).settings)
})

t.test('a file may say nothing', async (t) => {
  const { settings } = await resolveConfig(none)
  for (const text of ['', '\n', '# cluster_name: mine\n', '---\n'])
    t.same((await resolveConfig(yaml(text))).settings, settings, JSON.stringify(text))
  await t.rejects(resolveConfig(yaml('dc: a\n---\ndc: b\n')), {
    message: /polyxena.yaml: one document expected, not 2/,
  })
})

t.test('every mistake is said', async (t) => {
  t.same(
    (
      await problemsOf(
        yaml('no_such: 1\nnative_transport_port: x\ncommitlog_sync: never\nread_request_timeout: 5 apples'),
      )
    ).length,
    4,
  )
  t.match(await problemsOf({ ...none, flags: new Map([['no-such', '1']]) }), [/--no-such/])
  t.match(await problemsOf({ ...none, environment: { POLYXENA_NO_SUCH: '1' } }), [/POLYXENA_NO_SUCH/])
  t.match(await problemsOf(yaml('- a')), [/a map of settings expected/])
  t.match(await problemsOf(yaml('a: [')), [/polyxena.yaml/])
})

t.test('a port that others can reach needs a password, or a word', async (t) => {
  const open = new Map([
    ['address', '0.0.0.0'],
    ['broadcast-rpc-address', '10.0.0.1'],
  ])
  t.match(await problemsOf({ ...none, flags: open }), [/allow_insecure: true/])
  const named = new Map([['address', '127.0.0.1.example.com']])
  t.match(await problemsOf({ ...none, flags: named }), [/open to other machines/], 'a name that begins like loopback')
  t.same(await problemsOf({ ...none, flags: new Map([...open, ['allow-insecure', 'true']]) }), [])
  t.match(
    await problemsOf({
      ...none,
      flags: new Map([
        ['address', '0.0.0.0'],
        ['allow-insecure', 'true'],
      ]),
    }),
    [/broadcast_rpc_address/],
  )
})

t.test('replicas by data centre', async (t) => {
  const of = async (value: string) =>
    (await resolveConfig({ ...none, flags: new Map([['http-replication', value]]) })).settings.http_replication
  t.same(
    await of('dc1:3, eu:west:2'),
    new Map([
      ['dc1', 3],
      ['eu:west', 2],
    ]),
  )
  t.same((await resolveConfig(yaml('http_replication: {dc1: 3}'))).settings.http_replication, new Map([['dc1', 3]]))
  t.match(await problemsOf(yaml('http_replication: dc1')), [/is no data centre and its number of replicas/])
  t.match(await problemsOf(yaml('http_replication: dc1:many')), [/is no data centre and its number of replicas/])
  t.equal((await resolveConfig(none)).settings.http_port, null)
  t.equal((await resolveConfig(yaml('http_port: 0'))).settings.http_port, 0)
})
