/** A node from outside: how it starts, refuses to start, and ends; and what it keeps of itself. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { POLYXENA_VERSION, StartError, startNode } from '../../lib/index.ts'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..')
const COMMAND = join(ROOT, 'dist/tools/node.js')
/** A process that hangs is killed, long after the busiest machine would have started it. */
const LIMIT_MS = 180_000

const directory = mkdtempSync(join(tmpdir(), 'polyxena-node-'))
t.teardown(() => rmSync(directory, { recursive: true }))

interface Run {
  readonly child: ChildProcess
  readonly output: () => string
  readonly ended: Promise<number | null>
}

function run(...options: string[]): Run {
  const child = spawn(process.execPath, [COMMAND, ...options], { timeout: LIMIT_MS, cwd: directory })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk)
    })
  }
  return { child, output: () => output, ended: new Promise((resolve) => child.once('close', resolve)) }
}

async function untilItSays(text: string, { child, output }: Run): Promise<void> {
  while (!output().includes(text)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended, and said: ${output()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

t.test('it says that it listens, and stops cleanly', async (t) => {
  const node = run('--port', '0', '--data', 'clean')
  const { child, output, ended } = node
  await untilItSays('Next: cqlsh', node)
  t.match(
    output(),
    /INFO {2}\[main\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} node\.ts - Starting listening for CQL clients on \/127\.0\.0\.1:\d+/,
  )
  t.match(output(), /Startup complete/)
  t.match(output(), /Polyxena \S+ serves CQL on 127\.0\.0\.1:\d+ \(data in .*clean\)\. Next: cqlsh 127\.0\.0\.1 \d+/)
  child.kill('SIGTERM')
  t.equal(await ended, 0)
})

t.test('what it refuses, it says, and ends with 1', async (t) => {
  const busy = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => busy.once('listening', resolve))
  const { port } = busy.address() as net.AddressInfo
  writeFileSync(join(directory, 'bad.yaml'), 'commitlog_sync: sometimes\nno_such_key: 1\n')
  writeFileSync(join(directory, 'file'), '')
  const cases: [string[], RegExp][] = [
    [['--memory', '--port', String(port)], /polyxena: 127\.0\.0\.1:\d+ is in use by another process/],
    [['--no-such-option', '1'], /polyxena: --no-such-option: there is no option of this name/],
    [['--port'], /polyxena: --port: a value is missing/],
    [['stray'], /polyxena: stray: an option such as --port is expected here/],
    [
      ['--config', 'bad.yaml'],
      /bad\.yaml: commitlog_sync: .*\npolyxena: bad\.yaml: no_such_key: there is no setting of this name/,
    ],
    [['--config', 'none.yaml'], /none\.yaml: cannot be read \(ENOENT\)/],
    [['--address', '0.0.0.0'], /allow_insecure: true/],
    [
      ['--memory', '--address', '203.0.113.7', '--allow-insecure', 'true'],
      /203\.0\.113\.7 is no address of this machine/,
    ],
    [['--port', '0', '--data', 'file'], /file is no directory/],
  ]
  for (const [options, expected] of cases) {
    const { output, ended } = run(...options)
    t.equal(await ended, 1, options.join(' '))
    t.match(output(), expected)
    t.notMatch(output(), /\n {4}at /, 'no stack')
  }
  busy.close()
})

t.test('help and version', async (t) => {
  const help = run('--help')
  t.equal(await help.ended, 0)
  t.match(help.output(), /--commitlog-sync group\|batch\|periodic/)
  const version = run('--version')
  t.equal(await version.ended, 0)
  t.equal(version.output().trim(), POLYXENA_VERSION)
  const { version: packaged } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  t.equal(POLYXENA_VERSION, packaged)
})

t.test('one data directory, one node', async (t) => {
  const shared = join(directory, 'shared')
  const first = await startNode({ directory: shared })
  await t.rejects(startNode({ directory: shared }), StartError)
  await first.close()
  await first.close()
  const second = await startNode({ directory: shared })
  t.equal(second.hostId, first.hostId, 'it is the same node')
  await second.close()
  await t.rejects(startNode({ directory: shared, settings: { cluster_name: 'other' } }), {
    message: /Saved cluster name Test Cluster != configured name other/,
  })
  await t.rejects(startNode({ directory: shared, settings: { dc: 'elsewhere' } }), StartError)
})

t.test('a lock left by kill -9 is taken over', async (t) => {
  const killed = run('--port', '0', '--data', 'killed')
  await untilItSays('Next: cqlsh', killed)
  killed.child.kill('SIGKILL')
  await killed.ended
  const node = await startNode({ directory: join(directory, 'killed') })
  t.ok(node.port > 0)
  await node.close()
})

t.test('a damaged identity is told', async (t) => {
  mkdirSync(join(directory, 'damaged'))
  writeFileSync(join(directory, 'damaged/identity.json'), '{"hostId')
  await t.rejects(startNode({ directory: join(directory, 'damaged') }), { message: /is damaged/ })
})

t.test('nodes in memory live side by side', async (t) => {
  const nodes = await Promise.all([startNode({ memory: true }), startNode({ memory: true })])
  t.not(nodes[0].port, nodes[1].port)
  await Promise.all(nodes.map((node) => node.close()))
})
