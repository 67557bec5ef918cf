/** What an administrator's request asks for, checked once. */

/** Wrong usage is the asker's fault (nodetool's exit status 1), failure the node's (2). */
export class AdminError extends Error {
  override name = 'AdminError'
  readonly kind: 'usage' | 'failure'

  constructor(kind: 'usage' | 'failure', message: string) {
    super(message)
    this.kind = kind
  }
}

export function usage(message: string): AdminError {
  return new AdminError('usage', message)
}

/** From a query string (texts and lists of texts) or a JSON object. */
export class Parameters {
  readonly #values: ReadonlyMap<string, unknown>

  constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values
  }

  has(name: string): boolean {
    return (this.#values.get(name) ?? null) !== null
  }

  text(name: string): string | null {
    const value = this.#values.get(name) ?? null
    if (value === null) return null
    if (typeof value !== 'string') throw usage(`${name} must be a text`)
    return value
  }

  required(name: string): string {
    const value = this.text(name)
    if (value === null) throw usage(`${name} is missing`)
    return value
  }

  texts(name: string): string[] {
    const value = this.#values.get(name) ?? []
    const list = Array.isArray(value) ? value : [value]
    if (!list.every((one) => typeof one === 'string')) throw usage(`${name} must be texts`)
    return list
  }

  flag(name: string): boolean {
    const value = this.#values.get(name) ?? false
    if (value === 'true' || value === 'false') return value === 'true'
    if (typeof value !== 'boolean') throw usage(`${name} must be true or false`)
    return value
  }

  number(name: string): number | null {
    const value = this.#values.get(name) ?? null
    if (value === null) return null
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isFinite(number)) throw usage(`${name} must be a number`)
    return number
  }
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** `2h` as ms. Source: Cassandra's DurationSpec, words and all; `smallest` is the finest unit that is taken. */
export function parseAge(text: string, smallest: 'ns' | 's'): number {
  const match = /^(\d+)(ns|us|ms|s|m|h|d)$/.exec(text)
  const names = ['NANOSECONDS', 'MICROSECONDS', 'MILLISECONDS', 'SECONDS', 'MINUTES', 'HOURS', 'DAYS']
  if (!match || (smallest === 's' && UNITS[match[2]!]! < 1_000)) {
    const accepted = (smallest === 's' ? names.slice(3) : names).join(', ')
    throw usage(
      `Invalid duration: ${text} Accepted units:[${accepted}] where case matters and only non-negative values.`,
    )
  }
  return Number(match[1]) * UNITS[match[2]!]!
}
