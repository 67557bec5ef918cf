#!/usr/bin/env node
/**
 * The `polyxena` command: settles the configuration, starts one node, and ends it in order on SIGTERM or SIGINT.
 * Exit codes: 0 clean stop, 1 refused to start, 2 crashed (uncaught error, or a second signal while stopping).
 */
import { ConfigError, type LoadedConfig, readConfigFile, resolveConfig } from '../lib/config/load.ts'
import type { StartedNode } from '../lib/server/node.ts'

const CRASHED = 2

/** Flags that stand alone. */
const SWITCHES = new Set(['memory', 'help', 'version'])

function parseFlags(words: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>()
  const problems: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const short = word === '-h' ? '--help' : word === '-v' ? '--version' : word
    if (!short.startsWith('--')) {
      problems.push(`${word}: an option such as --port is expected here`)
      continue
    }
    const equals = short.indexOf('=')
    const name = short.slice(2, equals < 0 ? undefined : equals)
    const next = words[i + 1]
    if (equals >= 0) flags.set(name, short.slice(equals + 1))
    else if (SWITCHES.has(name)) flags.set(name, 'true')
    else if (next === undefined || next.startsWith('--')) problems.push(`--${name}: a value is missing`)
    else {
      flags.set(name, next)
      i++
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return flags
}

async function configure(flags: ReadonlyMap<string, string>): Promise<LoadedConfig> {
  const file = await readConfigFile(flags.get('config') ?? process.env.POLYXENA_CONFIG)
  return resolveConfig({ flags, environment: process.env, file })
}

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2))
  if (flags.has('help')) {
    const { helpText } = await import('./help.ts')
    process.stdout.write(helpText())
    return
  }
  if (flags.has('version')) {
    const { POLYXENA_VERSION } = await import('../lib/version.ts')
    process.stdout.write(`${POLYXENA_VERSION}\n`)
    return
  }
  const config = await configure(flags)
  const { runNode } = await import('../lib/server/node.ts')
  const node = await runNode(config)
  stopOnSignals(node)
  void node.died.then(crash)
}

function stopOnSignals(node: StartedNode): void {
  let stopping = false
  const stop = (): void => {
    if (stopping) process.exit(CRASHED)
    stopping = true
    node.close().then(
      () => process.exit(0),
      (error: unknown) => crash(error),
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

function crash(error: unknown): void {
  process.stderr.write(`polyxena: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(CRASHED)
}

process.on('uncaughtException', crash)
process.on('unhandledRejection', crash)

main().catch((error: unknown) => {
  const { code, name, message } = error as NodeJS.ErrnoException
  const refused = name === 'ConfigError' || name === 'StartError' || code === 'ELOCKED'
  if (!refused) return crash(error)
  for (const line of message.split('\n')) process.stderr.write(`polyxena: ${line}\n`)
  process.exit(1)
})
