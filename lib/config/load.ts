/**
 * Where settings come from: flags before POLYXENA_* variables before the file before defaults. All are checked at once, at start; every
 * mistake is said, not only the first.
 */

import { readFile } from 'node:fs/promises'
import { isLoopback } from '../types/inet.ts'
import { CASSANDRA_SETTING_NAMES } from './cassandra-names.ts'
import { NO_EFFECT } from './no-effect.ts'
import type { Setting } from './setting.ts'
import { SETTINGS, type SettingName, type Settings } from './settings.ts'
import { SettingError } from './units.ts'

export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

export interface LoadedConfig {
  readonly settings: Settings
  /** Nothing is kept on disk. */
  readonly memory: boolean
  readonly warnings: readonly string[]
}

/** Short names of flags and variables for what is typed most. */
const SHORTHANDS: ReadonlyMap<string, SettingName> = new Map([
  ['address', 'rpc_address'],
  ['port', 'native_transport_port'],
  ['data', 'data_file_directories'],
])

const PREFIX = 'POLYXENA_'

export interface ConfigSources {
  /** Flags by name, without dashes: `commitlog-sync`, `memory`, `config`. */
  readonly flags: ReadonlyMap<string, string>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The file's text and name, or null when there is none. */
  readonly file: { readonly name: string; readonly text: string } | null
}

/** Throws ConfigError with all that is wrong. */
export async function resolveConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const problems: string[] = []
  const warnings: string[] = []
  const values = new Map<SettingName, unknown>()
  let memory = false

  const take = (where: string, name: SettingName, value: unknown): void => {
    const setting: Setting<unknown> = SETTINGS[name]
    try {
      values.set(name, setting.parse(value))
    } catch (error) {
      if (!(error instanceof SettingError)) throw error
      problems.push(`${where}: ${error.message}`)
    }
  }

  if (sources.file) {
    const { name: fileName, text } = sources.file
    const ignored: string[] = []
    for (const [key, value] of await readYaml(fileName, text))
      takeFromFile(key, value, `${fileName}: ${key}`, { take, problems, warnings, ignored })
    if (ignored.length > 0)
      warnings.push(`${fileName}: known from Cassandra, but without effect here: ${ignored.join(', ')}`)
  }
  for (const [variable, value] of Object.entries(sources.environment)) {
    if (!variable.startsWith(PREFIX) || value === undefined) continue
    const key = variable.slice(PREFIX.length).toLowerCase()
    if (key === 'memory') memory = value === 'true' || value === '1'
    else if (key !== 'config') {
      const name = settingOf(key)
      if (name) take(variable, name, value)
      else problems.push(`${variable}: there is no setting of this name`)
    }
  }
  for (const [flag, value] of sources.flags) {
    if (flag === 'memory') memory = value !== 'false'
    else if (flag !== 'config') {
      const name = settingOf(flag.replaceAll('-', '_'))
      if (name) take(`--${flag}`, name, value)
      else problems.push(`--${flag}: there is no option of this name; polyxena --help lists them`)
    }
  }
  const all: Record<string, unknown> = {}
  for (const name of Object.keys(SETTINGS) as SettingName[])
    all[name] = values.has(name) ? values.get(name) : SETTINGS[name].defaultValue
  const settings = all as Settings
  problems.push(...checkTogether(settings))
  if (problems.length > 0) throw new ConfigError(problems)
  return { settings, memory, warnings }
}

/** The settings as they are when nobody says anything, but for `overrides`. */
export function defaultSettings(overrides: Partial<Settings> = {}): Settings {
  const all: Record<string, unknown> = {}
  for (const name of Object.keys(SETTINGS) as SettingName[]) all[name] = SETTINGS[name].defaultValue
  return { ...(all as Settings), ...overrides }
}

/** The file that --config or POLYXENA_CONFIG names, or polyxena.yaml in the current directory if there is one. */
export async function readConfigFile(named: string | undefined): Promise<ConfigSources['file']> {
  const name = named ?? 'polyxena.yaml'
  try {
    return { name, text: await readFile(name, 'utf8') }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (named === undefined && code === 'ENOENT') return null
    throw new ConfigError([`${name}: cannot be read (${code})`])
  }
}

function settingOf(key: string): SettingName | null {
  const name = SHORTHANDS.get(key) ?? key
  return Object.hasOwn(SETTINGS, name) ? (name as SettingName) : null
}

async function readYaml(name: string, text: string): Promise<[string, unknown][]> {
  const { loadAll } = await import('js-yaml')
  let documents: unknown[]
  try {
    documents = loadAll(text)
  } catch (error) {
    throw new ConfigError([`${name}: ${(error as Error).message}`])
  }
  if (documents.length > 1) throw new ConfigError([`${name}: one document expected, not ${documents.length}`])
  // A file of comments has none.
  const [root] = documents
  if (root === null || root === undefined) return []
  if (typeof root !== 'object' || Array.isArray(root)) throw new ConfigError([`${name}: a map of settings expected`])
  return Object.entries(root)
}

interface Sink {
  take(where: string, name: SettingName, value: unknown): void
  readonly problems: string[]
  readonly warnings: string[]
  /** Names of settings without effect, of which there is no more to say. */
  readonly ignored: string[]
}

function takeFromFile(key: string, value: unknown, where: string, { take, problems, warnings, ignored }: Sink): void {
  const name = settingOf(key)
  const old = name ? null : findOldSpelling(key)
  if (name) take(where, name, value)
  else if (old) take(where, old.name, `${String(value)}${old.unit}`)
  else if (key === 'seed_provider') take(where, 'seeds', seedsOf(value))
  else if (NO_EFFECT.has(key)) warnings.push(`${where} has no effect: ${NO_EFFECT.get(key)}`)
  else if (CASSANDRA_SETTING_NAMES.has(key)) ignored.push(key)
  else problems.push(`${where}: there is no setting of this name`)
}

function findOldSpelling(key: string): { name: SettingName; unit: string } | null {
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const old = SETTINGS[name].oldSpellings.find((spelling) => spelling.key === key)
    if (old) return { name, unit: old.unit }
  }
  return null
}

/** cassandra.yaml: [{class_name, parameters: [{seeds: "a,b"}]}]. */
function seedsOf(value: unknown): unknown {
  const provider: unknown = Array.isArray(value) ? value[0] : value
  const parameters = (provider as { parameters?: unknown } | null)?.parameters
  const first: unknown = Array.isArray(parameters) ? parameters[0] : parameters
  return (first as { seeds?: unknown } | null)?.seeds ?? []
}

/** What only settings together can get wrong. */
function checkTogether(settings: Settings): string[] {
  const problems: string[] = []
  if (settings.data_file_directories.length !== 1) problems.push('data_file_directories: name one directory')
  for (const name of ['rpc_address', 'listen_address'] as const) {
    const address = settings[name]
    if (address !== null && !isLoopback(address) && !settings.allow_insecure) {
      problems.push(
        `${name}: ${address} is open to other machines, and nobody is asked for a password (authenticator: AllowAllAuthenticator). ` +
          'Listen on 127.0.0.1, or set allow_insecure: true if the network is safe.',
      )
    }
  }
  if (settings.rpc_address === '0.0.0.0' && settings.broadcast_rpc_address === null) {
    problems.push('rpc_address: with 0.0.0.0, broadcast_rpc_address must say which address clients are told')
  }
  if (settings.batch_size_fail_threshold < settings.batch_size_warn_threshold) {
    problems.push('batch_size_fail_threshold: is below batch_size_warn_threshold')
  }
  if (settings.commitlog_segment_size < 1024 ** 2) problems.push('commitlog_segment_size: at least 1MiB')
  return problems
}
