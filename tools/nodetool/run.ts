/**
 * A run of polyxena-nodetool: reads its words, asks the node, prints. Exit status as nodetool's: 0 success, 1 wrong usage (told on standard output), 2 the
 * node could not do it, or could not be asked.
 */
import { describeCommand, type Option, readWords, UsageError } from './arguments.ts'
import { AdminClient, type AdminPlace, type Asked, RefusedError, UnreachableError } from './client.ts'
import { CLUSTER_COMMANDS } from './cluster-commands.ts'
import type { Command } from './command.ts'
import { COMPACTION_COMMANDS } from './compaction-commands.ts'
import { HINT_COMMANDS } from './hint-commands.ts'
import { REPORT_COMMANDS } from './report-commands.ts'
import { STORAGE_COMMANDS } from './storage-commands.ts'

const TOOL = 'polyxena-nodetool'
const DEFAULT_PORT = 7199

const COMMANDS: Readonly<Record<string, Command>> = {
  ...CLUSTER_COMMANDS,
  ...COMPACTION_COMMANDS,
  ...HINT_COMMANDS,
  ...REPORT_COMMANDS,
  ...STORAGE_COMMANDS,
}

const IGNORED = 'Taken for the sake of scripts'

/** Before the command; after it too, where the command has none of that name. */
const GLOBAL: readonly Option[] = [
  { names: ['-h', '--host'], value: 'host', help: 'Node hostname or ip address; default 127.0.0.1' },
  {
    names: ['-p', '--port'],
    value: 'port',
    help: `Port of the node's administration interface; default ${DEFAULT_PORT}`,
  },
  {
    names: ['--socket'],
    value: 'path',
    help: "Unix socket of the node's administration interface, in place of host and port",
  },
  { names: ['--format'], value: 'format', help: 'json: the answer of the node as JSON, whatever the command' },
  { names: ['-u', '--username'], value: 'username', help: IGNORED },
  { names: ['-pw', '--password'], value: 'password', help: IGNORED },
  { names: ['-pwf', '--password-file'], value: 'passwordFilePath', help: IGNORED },
  { names: ['-pp', '--print-port'], help: 'Addresses are shown with their ports' },
]

function help(name: string | undefined): string {
  const command = name === undefined ? undefined : COMMANDS[name]
  if (name !== undefined && command) return describeCommand(TOOL, name, command, GLOBAL)
  const names = Object.keys(COMMANDS).sort()
  const width = Math.max(...names.map((one) => one.length))
  const lines = names.map((one) => `    ${one.padEnd(width)}  ${COMMANDS[one]!.help}\n`)
  return `usage: ${TOOL} [${GLOBAL.slice(0, 4)
    .map(({ names: [first], value }) => `${first} <${value}>`)
    .join('] [')}] <command> [<args>]

The most commonly used ${TOOL} commands are:
${lines.join('')}
See '${TOOL} help <command>' for more information on a specific command.
`
}

/** What a run of the tool needs of the world. */
export interface ToolWorld {
  connect(place: AdminPlace): Asked
  print(text: string): void
  printError(text: string): void
}

const WORLD: ToolWorld = {
  connect: (place) => new AdminClient(place),
  print: (text) => void process.stdout.write(text),
  printError: (text) => void process.stderr.write(text),
}

/** Resolves with the exit status. */
export async function runTool(given: readonly string[], world: ToolWorld = WORLD): Promise<number> {
  try {
    await perform(given, world)
    return 0
  } catch (error) {
    if (error instanceof UsageError || (error instanceof RefusedError && error.kind === 'usage')) {
      world.print(`nodetool: ${error.message}\nSee 'nodetool help' or 'nodetool help <command>'.\n`)
      return 1
    }
    const word = error instanceof UnreachableError ? 'nodetool' : 'error'
    world.printError(`${word}: ${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  }
}

async function perform(given: readonly string[], world: ToolWorld): Promise<void> {
  const before = readWords(given, GLOBAL, true)
  const [name, ...rest] = before.arguments
  if (name === undefined || name === 'help' || name === '--help') {
    world.print(help(rest[0]))
    return
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : null
  if (!command) throw new UsageError(`Found unexpected parameters: [${name}]`)
  const own = command.options ?? []
  const taken = new Set(own.flatMap(({ names }) => names))
  const words = readWords(rest, [...own, ...GLOBAL.filter(({ names }) => !names.some((one) => taken.has(one)))])
  if (command.arguments === undefined && words.arguments.length > 0)
    throw new UsageError(`Found unexpected parameters: [${words.arguments.join(', ')}]`)
  const option = (one: string): string | null => (taken.has(one) ? null : words.value(one)) ?? before.value(one)
  const place = placeOf(option)
  const printPort = before.has('-pp') || (!taken.has('-pp') && words.has('-pp'))
  const isJson = option('--format') === 'json' && !words.has('-F')
  const print = isJson ? () => {} : (text: string) => world.print(text)
  try {
    const answer = await command.run({ client: world.connect(place), words, printPort, print })
    if (isJson) world.print(`${JSON.stringify(answer ?? {}, null, 2)}\n`)
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error
    if (name === 'statusbinary') world.print('not running\n')
    else
      throw new UnreachableError(
        `Failed to connect to '${place.socket ?? `${place.host}:${place.port}`}' - ${error.message}`,
      )
  }
}

function placeOf(option: (name: string) => string | null): AdminPlace {
  const given = option('-p')
  const port = Number(given ?? DEFAULT_PORT)
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new UsageError(`port: can not convert "${given}" to a int`)
  return { host: option('-h') ?? '127.0.0.1', port, socket: option('--socket') }
}
