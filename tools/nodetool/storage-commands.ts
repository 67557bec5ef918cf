/** Commands about what is on disk: flush, snapshots, backups, restores, checks. Source: Cassandra's nodetool, its words and outputs. */
import type { ListedSnapshot } from '../../lib/server/admin/snapshot-operations.ts'
import { UsageError } from './arguments.ts'
import { type Command, keyspaceAndTables } from './command.ts'
import { bytesText, table } from './text.ts'

const ON_TABLES = '[--] [<keyspace> <tables>...]'
const JOBS = {
  names: ['-j', '--jobs'],
  value: 'jobs',
  help: 'Taken for the sake of scripts: compactions run as many at once as they may',
}

/** One that sends its keyspace and tables, and prints nothing. */
function onTables(action: string, help: string, options: Command['options'] = []): Command {
  return {
    help,
    options,
    arguments: ON_TABLES,
    run: ({ client, words }) => client.post(action, keyspaceAndTables(words)),
  }
}

const snapshot: Command = {
  help: 'Take a snapshot of specified keyspaces or a snapshot of the specified table',
  options: [
    {
      names: ['-cf', '--column-family', '--table'],
      value: 'table',
      help: 'The table name (you must specify one and only one keyspace for using this option)',
    },
    {
      names: ['-kt', '--kt-list', '-kc', '--kc.list'],
      value: 'ktlist',
      help: 'The list of Keyspace.table to take snapshot (you must not specify keyspaces too)',
    },
    {
      names: ['-sf', '--skip-flush'],
      help: 'Do not flush memtables before snapshotting (snapshot will not contain unflushed data)',
    },
    { names: ['-t', '--tag'], value: 'tag', help: 'The name of the snapshot; default the time in ms' },
    { names: ['--ttl'], value: 'ttl', help: 'The snapshot is removed after this time, such as 2h or 7d' },
  ],
  arguments: '[--] [<keyspaces...>]',
  async run({ client, words, print }) {
    const tag = words.value('-t') ?? String(Date.now())
    const tables = words.list('-kt')
    const names = tables.length > 0 ? tables : words.arguments
    const of = names.length > 0 ? names.join(',') : 'all keyspaces'
    const skipFlush = words.has('-sf')
    const ttl = words.value('--ttl')
    if (!tag.includes('/') && !(tables.length > 0 && words.arguments.length > 0))
      print(
        `Requested creating snapshot(s) for [${of}] with snapshot name [${tag}] and options {skipFlush=${skipFlush}${ttl === null ? '' : `, ttl=${ttl}`}}\n`,
      )
    const options = { tag, ttl, skipFlush, table: words.value('-cf'), tables, keyspaces: words.arguments }
    const answer = await client.post('snapshot', options)
    print(`Snapshot directory: ${tag}\n`)
    return answer
  },
}

const listsnapshots: Command = {
  help: 'Lists all the snapshots along with the size on disk and true size: what removing it would free',
  options: [
    { names: ['-e', '--ephemeral'], help: 'Include ephemeral snapshots' },
    { names: ['-nt', '--no-ttl'], help: 'Skip snapshots with TTL' },
  ],
  async run({ client, words, print }) {
    const asked = { ephemeral: words.has('-e'), noTtl: words.has('-nt') }
    const answer = await client.get<{ snapshots: ListedSnapshot[]; trueBytes: number }>('snapshots', asked)
    print('Snapshot Details: \n')
    if (answer.snapshots.length === 0) print('There are no snapshots\n')
    else {
      const head = ['Snapshot name', 'Keyspace name', 'Column family name', 'True size', 'Size on disk']
      const columns = [...head, 'Creation time', 'Expiration time', ...(words.has('-e') ? ['Ephemeral'] : [])]
      const rows = answer.snapshots.map((one) => [
        one.tag,
        one.keyspace,
        one.table,
        bytesText(one.trueBytes),
        bytesText(one.diskBytes),
        one.createdAt ?? '',
        one.expiresAt ?? '',
        ...(words.has('-e') ? [String(one.ephemeral)] : []),
      ])
      print(`${table([columns, ...rows])}\nTotal TrueDiskSpaceUsed: ${bytesText(answer.trueBytes)}\n\n`)
    }
    return answer
  },
}

const clearsnapshot: Command = {
  help: 'Remove the snapshot with the given name from the given keyspaces',
  options: [
    { names: ['--all'], help: 'Removes all snapshots' },
    { names: ['-t'], value: 'snapshot_name', help: 'Remove the snapshot with a given name' },
    { names: ['--older-than'], value: 'older_than', help: 'Clear snapshots older than specified time period' },
    {
      names: ['--older-than-timestamp'],
      value: 'older_than_timestamp',
      help: "Clear snapshots older than specified timestamp, in ISO format: '2022-12-03T10:15:30Z'",
    },
  ],
  arguments: '[--] [<keyspaces>...]',
  async run({ client, words, print }) {
    const tag = words.value('-t')
    const all = words.has('--all')
    const olderThan = words.value('--older-than')
    const olderThanTimestamp = words.value('--older-than-timestamp')
    const answer = client.post('clearsnapshot', { tag, all, olderThan, olderThanTimestamp, keyspaces: words.arguments })
    const isUsage = (tag === null) === !all || (tag !== null && (olderThan ?? olderThanTimestamp) !== null)
    const from = words.arguments.length > 0 ? words.arguments.join(', ') : 'all keyspaces'
    if (!isUsage)
      print(
        `Requested clearing snapshot(s) for [${from}] with ${tag === null ? '[all snapshots]' : `snapshot name [${tag}]`}\n`,
      )
    return answer
  },
}

const refresh: Command = {
  help: 'Load the SSTables that were placed in import/<keyspace>/<table> of the data directory, without restart',
  arguments: '[--] <keyspace> <table>',
  run({ client, words }) {
    const [keyspace, name] = words.arguments
    if (words.arguments.length !== 2) throw new UsageError('refresh requires ks and cf args')
    return client.post('refresh', { keyspace, table: name })
  },
}

const importCommand: Command = {
  help: 'Import SSTables into a table: of a snapshot, or of folders below snapshots, backups or import of the data directory',
  options: [
    { names: ['--snapshot'], value: 'tag', help: "The table's part of this snapshot" },
    {
      names: ['-p', '--copy-data'],
      help: 'Leave the files in import/ where they are; those of snapshots and backups always stay',
    },
    ...['-c', '-e', '-l', '-niv', '-q', '-r', '-ri', '-t', '-v'].map((name) => ({
      names: [name],
      help: 'Taken for the sake of scripts: all files are always checked as a whole',
    })),
  ],
  arguments: '[--] <keyspace> <table> <directory> ...',
  run({ client, words }) {
    const [keyspace, name, ...directories] = words.arguments
    const tag = words.value('--snapshot')
    if (name === undefined || (directories.length === 0 && tag === null))
      throw new UsageError('import requires keyspace, table name and directories')
    return client.post('import', { keyspace, table: name, directories, snapshot: tag, copy: words.has('-p') })
  },
}

function backup(enabled: boolean): Command {
  return {
    help: `${enabled ? 'Enable' : 'Disable'} incremental backup`,
    run: ({ client }) => client.post('backup', { enabled }),
  }
}

const statusbackup: Command = {
  help: 'Status of incremental backup',
  async run({ client, print }) {
    const answer = await client.get<{ running: boolean }>('backup')
    print(answer.running ? 'running\n' : 'not running\n')
    return answer
  },
}

const getsstables: Command = {
  help: 'Print the sstable filenames that own the key',
  options: [
    { names: ['-hf', '--hex-format'], help: 'Specify the key in hexadecimal string format' },
    {
      names: ['-l', '--show-levels'],
      help: 'If the table is using leveled compaction the level of each sstable is shown',
    },
  ],
  arguments: '[--] <keyspace> <cfname> <key>',
  async run({ client, words, print }) {
    const [keyspace, name, key] = words.arguments
    if (words.arguments.length !== 3) throw new UsageError('getsstables requires ks, cf and key args')
    const asked = { keyspace, table: name, key, hex: words.has('-hf') }
    const answer = await client.get<{ sstables: { path: string; level: number }[] }>('sstables', asked)
    for (const { path, level } of answer.sstables) print(words.has('-l') ? `${level}: ${path}\n` : `${path}\n`)
    return answer
  },
}

const datapaths: Command = {
  help: 'Print all directories where data of tables are stored',
  arguments: '[--] [<keyspace.table>...]',
  async run({ client, words, print }) {
    const answer = await client.get<{ tables: { keyspace: string; table: string; paths: string[] }[] }>('datapaths', {
      names: words.arguments,
    })
    for (const keyspace of new Set(answer.tables.map((one) => one.keyspace))) {
      print(`Keyspace: ${keyspace}\n`)
      for (const one of answer.tables)
        if (one.keyspace === keyspace)
          print(`\tTable: ${one.table}\n\tPaths:\n${one.paths.map((path) => `\t\t${path}\n`).join('')}\n`)
    }
    return answer
  },
}

function invalidate(name: string, help: string): Command {
  return { help, run: ({ client }) => client.post('invalidatecache', { name }) }
}

const MIB = 1024 * 1024

const setcachecapacity: Command = {
  help: 'Set global key, row, and counter cache capacities (in MB units)',
  arguments: '[--] <key-cache-capacity> <row-cache-capacity> <counter-cache-capacity>',
  run({ client, words }) {
    if (words.arguments.length !== 3)
      throw new UsageError(
        'setcachecapacity requires key-cache-capacity, row-cache-capacity, and counter-cache-capacity args.',
      )
    const [keys, rows] = words.arguments.map((text) => {
      if (!/^\d+$/.test(text)) throw new UsageError(`can not convert "${text}" to a int`)
      return Number(text) * MIB
    })
    return client.post('cachecapacity', { keys: keys!, rows: rows! })
  },
}

export const STORAGE_COMMANDS: Readonly<Record<string, Command>> = {
  flush: onTables('flush', 'Flush one or more tables'),
  drain: {
    help: 'Drain the node (stop accepting writes and flush all tables)',
    run: ({ client }) => client.post('drain'),
  },
  snapshot,
  listsnapshots,
  clearsnapshot,
  refresh,
  import: importCommand,
  enablebackup: backup(true),
  disablebackup: backup(false),
  statusbackup,
  invalidatekeycache: invalidate('keys', 'Invalidate the key cache'),
  invalidaterowcache: invalidate('rows', 'Invalidate the row cache'),
  setcachecapacity,
  getsstables,
  datapaths,
  verify: onTables('verify', 'Verify (check data checksum for) one or more tables', [
    { names: ['-f', '--force'], help: 'Taken for the sake of scripts: verifying changes nothing' },
    { names: ['-e', '--extended-verify'], help: 'Taken for the sake of scripts: all is always checked' },
    { names: ['-q', '--quick'], help: 'Taken for the sake of scripts' },
  ]),
  scrub: onTables('rewrite', 'Scrub (rebuild sstables for) one or more tables', [
    { names: ['-ns', '--no-snapshot'], help: 'Taken for the sake of scripts' },
    JOBS,
  ]),
  upgradesstables: onTables('rewrite', 'Rewrite sstables (for the requested tables) in the present version', [
    { names: ['-a', '--include-all-sstables'], help: 'All are rewritten, with and without it' },
    JOBS,
  ]),
  garbagecollect: onTables('garbagecollect', 'Remove deleted data from one or more tables', [
    {
      names: ['-g', '--granularity'],
      value: 'granularity',
      help: 'Taken for the sake of scripts: rows and cells are both looked at',
    },
    JOBS,
  ]),
}
