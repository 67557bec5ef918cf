/**
 * The headers that say under which conditions a request is to be done. Source: RFC 9110 §13 (conditions), §8.8.3 (entity tags).
 * An entity tag is a key's context (CQL's vclock) in base64url: who hands it back has seen all that it covers.
 */
import { Consistency, type ConsistencyName } from '../../types/consistency.ts'
import { badRequest, preconditionFailed } from './failure.ts'

/** `*`: anything that is there. */
export type Tags = '*' | readonly Buffer[]

const TAG = /^"([A-Za-z0-9_-]+)"$/

/** Of If-Match and If-None-Match. */
export function readTags(value: string, name: string): Tags {
  const text = value.trim()
  if (text === '*') return '*'
  return text.split(',').map((part) => readTag(part.trim(), name))
}

function readTag(text: string, name: string): Buffer {
  const strong = text.startsWith('W/') ? text.slice(2) : text
  const match = TAG.exec(strong)
  if (!match) throw badRequest(`${name} is an ETag of this key in its quotes, or *`)
  return Buffer.from(match[1]!, 'base64url')
}

/** The one context that a write hands back. A weak tag equals none (RFC 9110 §13.1.1): something on the way has changed the answer that it came with. */
export function readContext(value: string): Buffer | '*' {
  const tags = readTags(value, 'If-Match')
  if (tags === '*') return tags
  if (tags.length !== 1)
    throw badRequest('If-Match names one ETag: the answer that you looked at last covers all before it')
  if (value.trim().startsWith('W/')) throw preconditionFailed('A weak ETag matches nothing')
  return tags[0]!
}

export function matches(tags: Tags, context: Buffer): boolean {
  return tags === '*' || tags.some((tag) => tag.equals(context))
}

export function tagOf(context: Buffer): string {
  return `"${context.toString('base64url')}"`
}

/** The default: a majority in this data centre, so that data centres that do not reach each other go on, each by itself. */
const DEFAULT_CONSISTENCY: ConsistencyName = 'LOCAL_QUORUM'

export function readConsistency(value: string | undefined): number {
  if (value === undefined) return Consistency[DEFAULT_CONSISTENCY]
  const name = value.trim().toUpperCase()
  if (!Object.hasOwn(Consistency, name)) throw badRequest(`X-Consistency: ${clip(value)} is no consistency level`)
  return Consistency[name as ConsistencyName]
}

/** Of the levels of lightweight transactions. */
export function readSerialConsistency(value: string | undefined): number {
  const name = (value ?? 'SERIAL').trim().toUpperCase()
  if (name !== 'SERIAL' && name !== 'LOCAL_SERIAL') throw badRequest('X-Serial-Consistency is SERIAL or LOCAL_SERIAL')
  return Consistency[name]
}

const TTL_SECONDS_MAX = 20 * 365 * 86_400

/** Seconds; null: for ever. */
export function readTtl(value: string | undefined): number | null {
  if (value === undefined) return null
  const seconds = /^\s*\d{1,10}\s*$/.test(value) ? Number(value) : Number.NaN
  if (!(seconds <= TTL_SECONDS_MAX)) throw badRequest(`X-TTL is a number of seconds, ${TTL_SECONDS_MAX} at most`)
  return seconds
}

export function readFlag(value: string | undefined, name: string): boolean {
  const word = value?.trim().toLowerCase() ?? 'false'
  if (word !== 'true' && word !== 'false') throw badRequest(`${name} is true or false`)
  return word === 'true'
}

function clip(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
