/**
 * The words of a nodetool command, read as Cassandra's reads them: options of the tool before the command, its own after it, in any order with its
 * arguments, `--` before arguments that look like options. What is wrong is told in its words.
 */

export interface Option {
  readonly names: readonly string[]
  /** What the value is; absent: the option stands alone. */
  readonly value?: string
  /** May be given more than once, or with commas. */
  readonly list?: boolean
  readonly help: string
}

export interface CommandWords {
  readonly help: string
  readonly options?: readonly Option[]
  /** What its arguments are, for the help; absent: it takes none. */
  readonly arguments?: string
}

/** Wrong usage: exit status 1. */
export class UsageError extends Error {
  override name = 'UsageError'
}

export class Words {
  readonly #values: ReadonlyMap<string, readonly string[]>
  readonly arguments: readonly string[]

  constructor(values: ReadonlyMap<string, readonly string[]>, plain: readonly string[]) {
    this.#values = values
    this.arguments = plain
  }

  /** By the first of its names. */
  has(name: string): boolean {
    return this.#values.has(name)
  }

  value(name: string): string | null {
    return this.#values.get(name)?.at(-1) ?? null
  }

  list(name: string): string[] {
    return (this.#values.get(name) ?? []).flatMap((text) => text.split(',')).filter((text) => text !== '')
  }

  number(name: string): number | null {
    const text = this.value(name)
    if (text === null) return null
    const number = Number(text)
    if (text.trim() === '' || !Number.isFinite(number))
      throw new UsageError(`${name.replace(/^-+/, '')}: can not convert "${text}" to a Integer`)
    return number
  }
}

/** `stopAtFirst`: what follows the first argument is not looked at, and left in `arguments`. */
export function readWords(words: readonly string[], options: readonly Option[], stopAtFirst = false): Words {
  const known = new Map<string, Option>()
  for (const option of options) for (const name of option.names) known.set(name, option)
  const values = new Map<string, string[]>()
  const plain: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    if (word === '--') {
      plain.push(...words.slice(i + 1))
      break
    }
    const equals = word.startsWith('--') ? word.indexOf('=') : -1
    const option = known.get(equals < 0 ? word : word.slice(0, equals))
    if (!option) {
      if (stopAtFirst) return new Words(values, words.slice(i))
      plain.push(word)
      continue
    }
    const [name] = option.names as [string]
    const given = values.get(name) ?? []
    values.set(name, given)
    if (option.value === undefined) given.push('true')
    else if (equals >= 0) given.push(word.slice(equals + 1))
    else if (i + 1 < words.length) given.push(words[++i]!)
    else throw new UsageError(`Required values for option '${option.value}' not provided`)
  }
  return new Words(values, plain)
}

/** What `help <command>` shows. */
export function describeCommand(tool: string, name: string, words: CommandWords, global: readonly Option[]): string {
  const options = [...(words.options ?? []), ...global]
  const synopsis = (words.options ?? []).map((option) => `[${shape(option)}]`)
  const lines = [
    'NAME',
    `        ${tool} ${name} - ${words.help}`,
    '',
    'SYNOPSIS',
    ...wrap([`${tool} [<options of the tool>] ${name}`, ...synopsis, words.arguments ?? ''].filter(Boolean)),
    '',
    'OPTIONS',
  ]
  for (const option of options)
    lines.push(
      `        ${option.names.map((one) => (option.value ? `${one} <${option.value}>` : one)).join(', ')}`,
      `            ${option.help}`,
      '',
    )
  return `${lines.join('\n')}\n`
}

function shape({ names, value }: Option): string {
  return names.map((name) => (value ? `${name} <${value}>` : name)).join(' | ')
}

const WIDTH = 100

function wrap(parts: readonly string[]): string[] {
  const lines: string[] = []
  let line = '       '
  for (const part of parts) {
    if (line.length + 1 + part.length > WIDTH) {
      lines.push(line)
      line = '               '
    }
    line += ` ${part}`
  }
  return [...lines, line]
}
