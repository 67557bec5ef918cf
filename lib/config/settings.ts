/**
 * Every setting: its name as in cassandra.yaml where the meaning is the same, its type and unit, its default, and what moving it costs.
 * A setting is a key of polyxena.yaml, a flag (`--commitlog-sync`) and a variable (`POLYXENA_COMMITLOG_SYNC`).
 */
import { serverEncryption } from './encryption.ts'
import type { Setting } from './setting.ts'
import { parseDuration, parsePointInTime, parseRate, parseSize, SettingError } from './units.ts'

const MIB = 1024 ** 2
const KIB = 1024

function scalar(value: unknown, expected: string): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new SettingError(`${expected} expected`)
}

function text<T extends string | null>(defaultValue: T, help: string): Setting<string | T> {
  return {
    defaultValue,
    help,
    form: 'TEXT',
    parse: (value) => (value === null ? defaultValue : scalar(value, 'a text')),
    oldSpellings: [],
  }
}

function whole<T extends number | null>(
  defaultValue: T,
  range: { min: number; max: number },
  help: string,
): Setting<number | T> {
  return {
    defaultValue,
    help,
    form: 'N',
    parse(value) {
      if (value === null) return defaultValue
      const number = Number(scalar(value, 'a whole number'))
      if (!Number.isInteger(number) || number < range.min || number > range.max) {
        throw new SettingError(`'${String(value)}' is not a whole number from ${range.min} to ${range.max}`)
      }
      return number
    },
    oldSpellings: [],
  }
}

function flag(defaultValue: boolean, help: string): Setting<boolean> {
  return {
    defaultValue,
    help,
    form: 'true|false',
    parse(value) {
      if (value === null) return defaultValue
      const word = String(value).toLowerCase()
      if (word !== 'true' && word !== 'false') throw new SettingError(`'${String(value)}' is neither true nor false`)
      return word === 'true'
    },
    oldSpellings: [],
  }
}

function choice<const T extends string>(choices: readonly T[], defaultValue: NoInfer<T>, help: string): Setting<T> {
  return {
    defaultValue,
    help,
    form: choices.join('|'),
    parse(value) {
      if (value === null) return defaultValue
      const found = choices.find((one) => one === scalar(value, 'a word'))
      if (found === undefined) throw new SettingError(`'${String(value)}' is none of ${choices.join(', ')}`)
      return found
    },
    oldSpellings: [],
  }
}

function quantity(
  form: string,
  parse: (text: string) => number,
): <T extends number | null>(defaultValue: T, help: string, old?: [string, string]) => Setting<number | T> {
  return (defaultValue, help, old) => ({
    defaultValue,
    help,
    form,
    parse: (value) => (value === null ? defaultValue : parse(scalar(value, form))),
    oldSpellings: old ? [{ key: old[0], unit: old[1] }] : [],
  })
}

/** µs since 1970, or null. */
function pointInTime(help: string): Setting<number | null> {
  return {
    defaultValue: null,
    help,
    form: 'TIME',
    parse: (value) => (value === null ? null : parsePointInTime(scalar(value, 'a time'))),
    oldSpellings: [],
  }
}

const duration = quantity('DURATION', parseDuration)
const size = quantity('SIZE', parseSize)
const rate = quantity('RATE', parseRate)

/** A list of texts, or one text with commas. */
function list(defaultValue: readonly string[], help: string): Setting<readonly string[]> {
  return {
    defaultValue,
    help,
    form: 'A,B,…',
    parse(value) {
      if (value === null) return defaultValue
      const parts = Array.isArray(value)
        ? value.map((one) => scalar(one, 'a list of texts'))
        : scalar(value, 'a list of texts').split(',')
      return parts.map((part) => part.trim()).filter((part) => part !== '')
    },
    oldSpellings: [],
  }
}

/** `dc1:3,dc2:2`, or a map. */
function replicas(help: string): Setting<ReadonlyMap<string, number> | null> {
  return {
    defaultValue: null,
    help,
    form: 'DC:N,…',
    parse(value) {
      if (value === null) return null
      const pairs =
        typeof value === 'object' && !Array.isArray(value)
          ? Object.entries(value)
          : scalar(value, 'a text')
              .split(',')
              .map((part) => splitLast(part.trim()))
      return new Map(
        pairs.map(([name, count]): [string, number] => {
          if (name === '' || !/^\d{1,3}$/.test(String(count)))
            throw new SettingError(`'${name}:${String(count)}' is no data centre and its number of replicas, as dc1:3`)
          return [name, Number(count)]
        }),
      )
    },
    oldSpellings: [],
  }
}

function splitLast(text: string): [string, string] {
  const at = text.lastIndexOf(':')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

const COUNT = { min: 0, max: 2 ** 31 - 1 }
const PORT = { min: 0, max: 65_535 }

export const SETTINGS = {
  cluster_name: text('Test Cluster', 'Name of the cluster; nodes of another name are refused.'),
  dc: text('datacenter1', 'Data centre of this node.'),
  rack: text('rack1', 'Rack of this node.'),
  seeds: list(
    [],
    'Addresses of nodes to find the cluster by, this one among them if it is one; none: the node is alone.',
  ),
  num_tokens: whole(128, { min: 1, max: 1536 }, 'Tokens this node takes when it first starts.'),
  capacity: whole(
    100,
    { min: 10, max: 1_000 },
    'How much this node can hold beside the others, in percent: it takes so many of num_tokens.',
  ),
  initial_token: list([], 'These tokens instead of random ones.'),
  rpc_address: text('127.0.0.1', 'Address for CQL clients. Also --address.'),
  native_transport_port: whole(9042, PORT, 'Port for CQL clients; 0 takes a free one. Also --port.'),
  broadcast_rpc_address: text(null, 'Address that clients are told; default rpc_address.'),
  listen_address: text(null, 'Address for other nodes; default rpc_address.'),
  broadcast_address: text(null, 'Address that other nodes are told; default listen_address.'),
  storage_port: whole(7000, PORT, 'Port for other nodes.'),
  admin_port: whole(
    7199,
    PORT,
    'Port of the administration interface (HTTP, what polyxena-nodetool asks), on loopback; 0: none.',
  ),
  admin_address: text(
    null,
    'Loopback address of the administration interface; default rpc_address if it is one, else 127.0.0.1.',
  ),
  admin_socket: text(null, 'A Unix socket for the administration interface, in place of the port.'),
  http_port: whole(
    null,
    PORT,
    'Port for keys and values over HTTP, on rpc_address; 0 takes a free one; default: they are not served.',
  ),
  http_value_size_max: size(
    10 * MIB,
    'Largest value over HTTP; never more than fits into a mutation, which is half of commitlog_segment_size.',
  ),
  http_data_in_flight_max: size(
    64 * MIB,
    'Bytes of values that come in over HTTP, or that clients have not taken yet; beyond, requests are answered 503.',
  ),
  http_replication: replicas(
    'Replicas of keyspace kv when it is made by the first PUT over HTTP; default: in each data centre as many as it has nodes, 3 at most.',
  ),
  allow_insecure: flag(false, 'Listen beyond loopback although nobody is asked for a password.'),
  authenticator: choice(['AllowAllAuthenticator'], 'AllowAllAuthenticator', 'Who may connect.'),
  authorizer: choice(['AllowAllAuthorizer'], 'AllowAllAuthorizer', 'Who may do what.'),
  data_file_directories: list(['./data'], 'Where all is kept (one directory). Also --data.'),
  commitlog_directory: text(null, 'Where the commit log is kept; default commitlog under the data directory.'),
  commitlog_sync: choice(
    ['group', 'batch', 'periodic'],
    'group',
    'When a write is acknowledged: after a shared sync (group), after a sync of its own (batch), or before the sync (periodic: a power loss costs up to commitlog_sync_period of writes).',
  ),
  commitlog_sync_period: duration(10_000, 'Time between two syncs when periodic.', [
    'commitlog_sync_period_in_ms',
    'ms',
  ]),
  commitlog_sync_group_window: duration(0, 'How long a group waits for company; 0: only while the last sync runs.', [
    'commitlog_sync_group_window_in_ms',
    'ms',
  ]),
  commitlog_segment_size: size(32 * MIB, 'Size of a commit log segment; half of it is the largest mutation.', [
    'commitlog_segment_size_in_mb',
    'MiB',
  ]),
  commitlog_total_space: size(1024 * MIB, 'Beyond this the oldest memtables are flushed.', [
    'commitlog_total_space_in_mb',
    'MiB',
  ]),
  disk_failure_policy: choice(
    ['best_effort', 'stop', 'stop_paranoid', 'die', 'ignore'],
    'best_effort',
    'When an SSTable is damaged: set it aside and serve what can be read (best_effort), also stop serving clients when the disk cannot read it (stop) or in any case (stop_paranoid, which does not start with one either), end the process (die), or only fail what touches it (ignore).',
  ),
  commit_failure_policy: choice(
    ['stop_commit', 'stop', 'die', 'ignore'],
    'stop_commit',
    'When the commit log fails: acknowledge no write and serve reads (stop_commit, ignore), stop serving clients (stop), or end the process (die).',
  ),
  commitlog_archiving_directory: text(
    null,
    'Finished commit log segments are linked or copied there before they are deleted; default nowhere.',
  ),
  commitlog_archiving_restore_directories: list(
    [],
    'Archived segments in these directories are applied at the start. Take it out again when it is done.',
  ),
  commitlog_archiving_restore_point_in_time: pointInTime(
    'Of archived segments only what was written until then, by its timestamp: 2026:11:21 10:00:00, UTC; default all.',
  ),
  data_disk_usage_percentage_fail_threshold: whole(
    98,
    { min: -1, max: 100 },
    'Writes are refused when so much of the disk is used; -1: only when a segment and a flush would not fit.',
  ),
  ballast_size: size(
    16 * MIB,
    'Size of a file in the data directory that may be deleted when the disk is full, to have room to recover; 0: none.',
  ),
  memtable_offheap_space: size(256 * MIB, 'Memory for writes that are not yet in SSTables.', [
    'memtable_offheap_space_in_mb',
    'MiB',
  ]),
  file_cache_size: size(64 * MIB, 'Memory for blocks of SSTables.', ['file_cache_size_in_mb', 'MiB']),
  key_cache_size: size(32 * MIB, 'Memory for index blocks of SSTables, apart from those of data.', [
    'key_cache_size_in_mb',
    'MiB',
  ]),
  row_cache_size: size(
    0,
    'Memory for the heads of partitions, of tables whose caching option asks for rows; 0: none.',
    ['row_cache_size_in_mb', 'MiB'],
  ),
  materialized_views_enabled: flag(true, 'Allow CREATE MATERIALIZED VIEW. Views that there are work all the same.'),
  compact_tables_enabled: flag(
    true,
    'Allow CREATE TABLE … WITH COMPACT STORAGE. Tables that there are work all the same.',
  ),
  auto_snapshot: flag(true, 'Take a snapshot (hard links) of a table with data before it is truncated or dropped.'),
  auto_snapshot_ttl: duration(
    null,
    'Such snapshots are removed after this time; default: they stay until they are cleared.',
  ),
  snapshot_before_compaction: flag(false, 'Take a snapshot of a table before each of its compactions.'),
  incremental_backups: flag(
    false,
    'Hard-link each new SSTable (flushed, not compacted) into backups/ under the data directory, until it is removed there.',
  ),
  prepared_statements_cache_size: size(10 * MIB, 'Memory for prepared statements.', [
    'prepared_statements_cache_size_mb',
    'MiB',
  ]),
  native_transport_max_frame_size: size(16 * MIB, 'Largest request.', ['native_transport_max_frame_size_in_mb', 'MiB']),
  native_transport_max_concurrent_connections: whole(10_000, COUNT, 'Client connections at once.'),
  native_transport_max_request_data_in_flight: size(128 * MIB, 'Bytes of requests being served; beyond, clients wait.'),
  drain_grace: duration(5_000, 'How long a node that stops goes on serving what it has begun.'),
  read_request_timeout: duration(5_000, 'How long a read by key may take.', ['read_request_timeout_in_ms', 'ms']),
  range_request_timeout: duration(10_000, 'How long a scan may take.', ['range_request_timeout_in_ms', 'ms']),
  write_request_timeout: duration(2_000, 'How long a write may take.', ['write_request_timeout_in_ms', 'ms']),
  counter_write_request_timeout: duration(5_000, 'How long a change of counters may take.', [
    'counter_write_request_timeout_in_ms',
    'ms',
  ]),
  cas_contention_timeout: duration(
    1_800,
    'How long a conditional statement tries again while others are at the same partition.',
    ['cas_contention_timeout_in_ms', 'ms'],
  ),
  truncate_request_timeout: duration(60_000, 'How long a TRUNCATE may take.', ['truncate_request_timeout_in_ms', 'ms']),
  server_encryption_options: serverEncryption,
  internode_compression: choice(
    ['all', 'dc', 'none'],
    'dc',
    'What is packed on its way to other nodes: all, what goes to another data centre, nothing.',
  ),
  internode_tcp_connect_timeout: duration(2_000, 'How long to wait for a connection to another node.', [
    'internode_tcp_connect_timeout_in_ms',
    'ms',
  ]),
  hinted_handoff_enabled: flag(true, 'Keep what a node that is away misses, and send it when it is back.'),
  max_hint_window: duration(
    3 * 3_600_000,
    'A node that is away for longer gets no more hints: it must be repaired when it is back.',
    ['max_hint_window_in_ms', 'ms'],
  ),
  hinted_handoff_throttle: size(8 * MIB, 'Bytes of hints a second to one node; 0: no limit.', [
    'hinted_handoff_throttle_in_kb',
    'KiB',
  ]),
  hints_directory: text(null, 'Where hints are kept; default hints under the data directory.'),
  max_hints_file_size: size(128 * MIB, 'A file of hints that is so large is followed by another.', [
    'max_hints_file_size_in_mb',
    'MiB',
  ]),
  max_hints_size_per_host: size(
    1024 * MIB,
    'A node for which so much is kept gets no more hints: it must be repaired when it is back; 0: no limit.',
  ),
  batch_size_warn_threshold: size(5 * KIB, 'A batch over several partitions beyond this size is warned of.', [
    'batch_size_warn_threshold_in_kb',
    'KiB',
  ]),
  batch_size_fail_threshold: size(50 * KIB, 'A batch over several partitions beyond this size is refused.', [
    'batch_size_fail_threshold_in_kb',
    'KiB',
  ]),
  unlogged_batch_across_partitions_warn_threshold: whole(
    10,
    COUNT,
    'An unlogged batch over more partitions is warned of.',
  ),
  tombstone_warn_threshold: whole(1_000, COUNT, 'A read of more tombstones is warned of.'),
  tombstone_failure_threshold: whole(100_000, COUNT, 'A read of more tombstones fails.'),
  in_select_cartesian_product_fail_threshold: whole(
    10_000,
    COUNT,
    'A SELECT by IN over more combinations of keys is refused.',
  ),
  page_size_bytes: size(4 * MIB, 'A page ends early at this size.'),
  unpaged_size_bytes: size(64 * MIB, 'A result that is not paged fails beyond this size.'),
  stream_throughput_inbound: rate(
    24 * MIB,
    'Bytes a second that a node which joins a cluster fetches, from all others together; 0: no limit.',
  ),
  compaction_throughput: rate(64 * MIB, 'Bytes a second that compactions may read, all together; 0: no limit.', [
    'compaction_throughput_mb_per_sec',
    'MiB/s',
  ]),
  concurrent_compactors: whole(1, { min: 1, max: 64 }, 'Compactions at once.'),
  autocompaction_on_startup_enabled: flag(true, 'Compactions begin by themselves; else only when they are asked for.'),
  log_level: choice(['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'], 'INFO', 'Least important lines to log.'),
} as const satisfies Record<string, Setting<unknown>>

export type SettingName = keyof typeof SETTINGS
export type Settings = { readonly [K in SettingName]: (typeof SETTINGS)[K] extends Setting<infer T> ? T : never }
