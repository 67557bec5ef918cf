/** What a command of polyxena-nodetool is. */
import type { CommandWords, Words } from './arguments.ts'
import type { Asked } from './client.ts'

export interface Session {
  readonly client: Asked
  readonly words: Words
  /** Addresses are shown with their ports. */
  readonly printPort: boolean
  /** To standard output at once; nothing when the answer is wanted as JSON. */
  print(text: string): void
}

export interface Command extends CommandWords {
  /** Resolves with what `--format json` shows. */
  run(session: Session): Promise<unknown>
}

export const HUMAN = {
  names: ['-H', '--human-readable'],
  help: 'Display bytes in human readable form, i.e. KiB, MiB, GiB, TiB',
}
export const FORMAT = { names: ['-F', '--format'], value: 'format', help: 'Output format (json, yaml)' }

/** `keyspace`, `tables`, as most commands take them. */
export function keyspaceAndTables(words: Words): { keyspace?: string; tables?: readonly string[] } {
  const [keyspace, ...tables] = words.arguments
  return keyspace === undefined ? {} : { keyspace, tables }
}
