/**
 * Time zones in timestamps: offsets, names of the IANA database, and a few abbreviations.
 * Source: the zones that Apache Cassandra 5.0.6 takes; rules of the IANA database from the runtime's own copy.
 */
import { Scanner } from './scanner.ts'

/** Milliseconds east of UTC, or a function of the local time in milliseconds that knows them. */
export type ZoneOffset = number | ((localMs: number) => number)

const MINUTE_MS = 60_000
const OFFSET_MAX_MS = 18 * 60 * MINUTE_MS

const ABBREVIATIONS = new Map<string, string>([
  ['PST', 'America/Los_Angeles'],
  ['PDT', 'America/Los_Angeles'],
  ['MST', 'America/Denver'],
  ['MDT', 'America/Denver'],
  ['CST', 'America/Chicago'],
  ['CDT', 'America/Chicago'],
  ['EST', 'America/New_York'],
  ['EDT', 'America/New_York'],
  ['HST', 'Pacific/Honolulu'],
  ['CET', 'Europe/Paris'],
  ['CEST', 'Europe/Paris'],
  ['EET', 'Europe/Bucharest'],
  ['EEST', 'Europe/Bucharest'],
  ['WET', 'Europe/Lisbon'],
  ['WEST', 'Europe/Lisbon'],
  ['MSK', 'Europe/Moscow'],
  ['JST', 'Asia/Tokyo'],
  ['BST', 'Pacific/Bougainville'],
  ['AEST', 'Australia/Sydney'],
  ['AEDT', 'Australia/Sydney'],
])

/** `named`: a blank stood before it, so names and offsets with seconds are allowed. Null: no such zone. */
export function offsetOfZone(text: string, named: boolean): ZoneOffset | null {
  if (text === 'Z') return 0
  if (text[0] === '+' || text[0] === '-') return numericOffset(text, named)
  if (!named) return null
  if (text === 'UTC' || text === 'GMT' || text === 'UT') return 0
  for (const prefix of ['UTC', 'GMT', 'UT'])
    if (text.startsWith(`${prefix}+`) || text.startsWith(`${prefix}-`))
      return numericOffset(text.slice(prefix.length), named, true)
  return namedOffset(ABBREVIATIONS.get(text) ?? text)
}

/** ±hh, ±hhmm, ±hh:mm and, where allowed, ±hh:mm:ss. */
function numericOffset(text: string, withSeconds: boolean, colonOnly = false): number | null {
  const scanner = new Scanner(text)
  scanner.at = 1
  const hours = scanner.digits(2)
  if (hours.length !== 2) return null
  let minutes = '00'
  let seconds = '00'
  if (!scanner.done()) {
    const colon = scanner.accept(':')
    minutes = scanner.digits(2)
    if (minutes.length !== 2) return null
    if (withSeconds && colon && scanner.accept(':')) seconds = scanner.digits(2)
  } else if (colonOnly) return null
  if (!scanner.done() || Number(minutes) > 59 || seconds.length !== 2 || Number(seconds) > 59) return null
  const ms = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS + Number(seconds) * 1000
  if (ms > OFFSET_MAX_MS) return null
  return text[0] === '-' ? -ms : ms
}

function namedOffset(name: string): ZoneOffset | null {
  const first = name.charCodeAt(0)
  if (!(first >= 0x41 && first <= 0x5a)) return null
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
      era: 'short',
    })
  } catch {
    return null
  }
  const offsetAt = (utcMs: number): number => {
    const parts = new Map(format.formatToParts(utcMs).map((part) => [part.type, part.value]))
    const number = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.get(type))
    const local = new Date(0)
    const year = parts.get('era') === 'BC' ? 1 - number('year') : number('year')
    local.setUTCFullYear(year, number('month') - 1, number('day'))
    local.setUTCHours(number('hour'), number('minute'), number('second'))
    return local.getTime() - Math.floor(utcMs / 1000) * 1000
  }
  return (localMs) => localOffset(localMs, offsetAt)
}

const DAY_MS = 86_400_000
/** A JavaScript Date reaches so far; beyond it the zone's rules of that year hold no more. */
const DATE_MAX_MS = 8_640_000_000_000_000

/** In an hour that comes twice the first is meant; one that is skipped counts on from before the gap. */
function localOffset(localMs: number, offsetAt: (utcMs: number) => number): number {
  const clamp = (ms: number): number => Math.max(-DATE_MAX_MS, Math.min(DATE_MAX_MS, ms))
  const before = offsetAt(clamp(localMs - DAY_MS))
  const after = offsetAt(clamp(localMs + DAY_MS))
  if (before === after || offsetAt(clamp(localMs - before)) === before) return before
  return offsetAt(clamp(localMs - after)) === after ? after : before
}
