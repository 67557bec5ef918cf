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

/** µs since 1970, of `2026:11:21 10:00:00` with a fraction if wanted, as in commitlog_archiving.properties, or of `2026-11-21T10:00:00`. Always UTC. */
export function parsePointInTime(text: string): number {
  const match = /^(\d{4})[:-](\d{2})[:-](\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?Z?$/.exec(text.trim())
  const [, year, month, day, time, fraction = ''] = match ?? []
  const ms = match ? Date.parse(`${year}-${month}-${day}T${time}Z`) : Number.NaN
  if (Number.isNaN(ms)) throw new SettingError(`'${text}' is not a time such as 2026:11:21 10:00:00 (UTC)`)
  return ms * 1000 + Number(fraction.padEnd(6, '0'))
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
