/**
 * Values with units as cassandra.yaml writes them: `10s`, `200ms`, `64MiB/s`, `16MiB`. Bare numbers take the unit that the setting's old
 * spelling names (`read_request_timeout_in_ms: 5000`).
 */

const DURATION_MS = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
const SIZE_BYTES = new Map([
  ['B', 1],
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
])
const RATE_BYTES = new Map([
  ['B/s', 1],
  ['KiB/s', 1024],
  ['MiB/s', 1024 ** 2],
])

export class SettingError extends Error {
  override name = 'SettingError'
}

/** Milliseconds. */
export function parseDuration(text: string): number {
  return parseWithUnit(text, DURATION_MS, 'a duration such as 10s or 200ms')
}

/** Bytes. */
export function parseSize(text: string): number {
  return parseWithUnit(text, SIZE_BYTES, 'a size such as 16MiB')
}

/** Bytes a second. */
export function parseRate(text: string): number {
  return parseWithUnit(text, RATE_BYTES, 'a rate such as 64MiB/s')
}

function parseWithUnit(text: string, units: ReadonlyMap<string, number>, expected: string): number {
  const trimmed = text.trim()
  let end = 0
  while (end < trimmed.length && trimmed[end]! >= '0' && trimmed[end]! <= '9') end++
  const factor = units.get(trimmed.slice(end).trim())
  if (end === 0 || factor === undefined)
    throw new SettingError(`'${text}' is not ${expected} (units: ${[...units.keys()].join(', ')})`)
  return Number(trimmed.slice(0, end)) * factor
}
