/** GET, PUT and DELETE of a key, and the list of keys: from headers to CQL, and from what it finds to an answer. */

import { isUtf8 } from 'node:buffer'
import { isSiblingLimit } from '../../../storage/model/causal/siblings.ts'
import { RequestError } from '../../base/errors.ts'
import { uuidText } from '../../base/uuid.ts'
import { readLevelOf } from '../../cql/modify/modify-read.ts'
import { isPagingState } from '../../cql/select/paging.ts'
import { readBody } from './body.ts'
import {
  matches,
  readConsistency,
  readContext,
  readFlag,
  readSerialConsistency,
  readTags,
  readTtl,
  tagOf,
} from './conditions.ts'
import type { HttpContext } from './context.ts'
import type { HeaderList, HttpExchange } from './exchange.ts'
import { badRequest, HttpError, preconditionFailed } from './failure.ts'
import { DEFAULT_TABLE, type Found, type KeyValueTable, type Levels, type Sibling, type Written } from './key-value.ts'
import type { Condition } from './key-value-statements.ts'
import {
  CURSOR,
  IF_MATCH,
  IF_NONE_MATCH,
  LIMIT,
  LIMIT_DEFAULT,
  LIMIT_MAX,
  PREFER,
  PREFIX,
  TABLE_QUERY,
  X_CONSISTENCY,
  X_IF_UNMODIFIED,
  X_SERIAL_CONSISTENCY,
  X_TTL,
} from './parameters.ts'
import { decodeKey, readQuery } from './target.ts'

/** Siblings' values beyond this, all together, are left out of an answer. */
const SIBLING_BYTES_MAX = 32 * 1024 * 1024

/** Answers beyond this count as bytes in flight while they are made. */
const LARGE_BYTES = 64 * 1024

const DEFAULT_CONTENT_TYPE = 'application/octet-stream'
/** What may stand in a header: RFC 9110 §5.5, without what is not ASCII. */
const CONTENT_TYPE_TEXT = /^[\t\x20-\x7e]{1,255}$/

const NO_PARAMETERS: ReadonlySet<string> = new Set()

interface Place {
  readonly table: string
  readonly key: Buffer
}

/** Of /kv/{key} and /kv/{table}/{key}. */
function placeOf({ target }: HttpExchange): Place {
  if (target.query !== '') readQuery(target.query, NO_PARAMETERS)
  const first = target.path.slice(PREFIX_PATH.length)
  const slash = first.indexOf('/')
  if (slash < 0) return { table: DEFAULT_TABLE, key: decodeKey(first) }
  return { table: first.slice(0, slash), key: decodeKey(first.slice(slash + 1)) }
}

const PREFIX_PATH = '/kv/'

function levelsOf(exchange: HttpExchange): Levels {
  return {
    consistency: readConsistency(exchange.header(X_CONSISTENCY.key)),
    serial: readSerialConsistency(exchange.header(X_SERIAL_CONSISTENCY.key)),
  }
}

const nothingThere = (): HttpError => new HttpError(404, 'NOT_FOUND', 'Nothing is there')

export function getKey(exchange: HttpExchange, context: HttpContext): void | Promise<void> {
  const { table: name, key } = placeOf(exchange)
  const levels = levelsOf(exchange)
  const table = context.tables.find(name)
  if (table instanceof Promise) return table.then((late) => getFrom(late, exchange, key, levels))
  return getFrom(table, exchange, key, levels)
}

function getFrom(
  table: KeyValueTable | null,
  exchange: HttpExchange,
  key: Buffer,
  levels: Levels,
): void | Promise<void> {
  if (table === null) throw nothingThere()
  const found = table.get(key, levels, SIBLING_BYTES_MAX)
  if (found instanceof Promise) return found.then((later) => answerFound(exchange, later))
  answerFound(exchange, found)
}

function answerFound(exchange: HttpExchange, found: Found | null): void {
  if (found === null) throw nothingThere()
  const tag = tagOf(found.context)
  const [only] = found.siblings
  if (found.siblings.length > 1 || only === undefined) {
    answerSiblings(exchange, 300, found, {})
    return
  }
  const ifMatch = exchange.header(IF_MATCH.key)
  if (ifMatch !== undefined && !matches(readTags(ifMatch, IF_MATCH.name), found.context))
    throw preconditionFailed('Something else stands there')
  const ifNoneMatch = exchange.header(IF_NONE_MATCH.key)
  if (ifNoneMatch !== undefined && matches(readTags(ifNoneMatch, IF_NONE_MATCH.name), found.context)) {
    exchange.answer(304, { ETag: tag }, null)
    return
  }
  if (only.value.length > LARGE_BYTES) exchange.reserve(only.value.length)
  exchange.answer(200, headersOf(only, tag), only.value)
}

function headersOf({ contentType, timeMicros, ttl }: Sibling, tag: string): HeaderList {
  const headers: HeaderList = {
    'Content-Type': contentType !== null && CONTENT_TYPE_TEXT.test(contentType) ? contentType : DEFAULT_CONTENT_TYPE,
    ETag: tag,
    // What somebody stored is never run as a page of this node.
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': 'sandbox',
  }
  if (timeMicros !== null) headers['Last-Modified'] = new Date(timeMicros / 1_000).toUTCString()
  if (ttl !== null) headers['X-TTL'] = ttl
  return headers
}

/** Of 300 and 409: `context` stands for all siblings, as the ETag does. */
function answerSiblings(
  exchange: HttpExchange,
  status: number,
  { context, siblings, isCut }: Found,
  more: Readonly<Record<string, unknown>>,
): void {
  const bytes = siblings.reduce((sum, { value }) => sum + value.length, 0)
  if (bytes > LARGE_BYTES) exchange.reserve(2 * bytes)
  const text = context.toString('base64url')
  const body = {
    conflict: true,
    ...more,
    context: text,
    complete: !isCut,
    siblings: siblings.map((sibling) => siblingOf(sibling, text)),
  }
  exchange.answer(status, { 'Content-Type': 'application/json', ETag: `"${text}"` }, `${JSON.stringify(body)}\n`)
}

function siblingOf({ contentType, value, version, timeMicros, ttl }: Sibling, context: string): object {
  const isText = isUtf8(value)
  return {
    contentType: contentType ?? DEFAULT_CONTENT_TYPE,
    encoding: isText ? 'utf-8' : 'base64',
    value: value.toString(isText ? 'utf8' : 'base64'),
    time: timeMicros === null ? null : new Date(timeMicros / 1_000).toISOString(),
    timeMicros,
    ttl,
    version: version && uuidText(version),
    context,
  }
}

/** A value is answered as it came: whoever gets it would not be told that it is packed. */
function checkCoding(coding: string | undefined): void {
  if (coding === undefined || /^\s*(identity)?\s*$/i.test(coding)) return
  throw new HttpError(
    415,
    'UNSUPPORTED_ENCODING',
    'Content-Encoding is not kept with a value: send it as it is, or say in Content-Type that it is packed (application/gzip)',
    { headers: { 'Accept-Encoding': 'identity' } },
  )
}

export async function putKey(exchange: HttpExchange, context: HttpContext): Promise<void> {
  const { table: name, key } = placeOf(exchange)
  const levels = levelsOf(exchange)
  const contentType = exchange.header('content-type') ?? DEFAULT_CONTENT_TYPE
  if (!CONTENT_TYPE_TEXT.test(contentType)) throw badRequest('Content-Type is 1 to 255 characters of ASCII')
  checkCoding(exchange.header('content-encoding'))
  const ttl = readTtl(exchange.header(X_TTL.key))
  const wanted = readConditions(exchange, true)
  const body = readBody(exchange, context)
  const value = body instanceof Promise ? await body : body
  const opened = context.tables.open(name)
  const table = opened instanceof Promise ? await opened : opened
  const condition = await settle(wanted, table, key, levels)
  let written: Written
  try {
    written = await table.put({ key, contentType, value, ttl }, condition, levels, readBackLevel(exchange, levels))
  } catch (error) {
    if (!(error instanceof RequestError && isSiblingLimit(error))) throw error
    const { message } = error
    if (!(await answerConflict(exchange, table, key, levels, { message, stored: false, expected: 1 }))) throw error
    return
  }
  await answerWritten(exchange, table, key, levels, { condition, written, expected: 1 })
}

export async function deleteKey(exchange: HttpExchange, context: HttpContext): Promise<void> {
  const { table: name, key } = placeOf(exchange)
  const levels = levelsOf(exchange)
  const wanted = readConditions(exchange, false)
  const table = await context.tables.find(name)
  if (table === null) {
    if (wanted.match !== null) throw preconditionFailed('Nothing is there')
    exchange.answer(204, {}, null)
    return
  }
  const condition = await settle(wanted, table, key, levels)
  const level = condition.kind === 'replaces' ? readBackLevel(exchange, levels) : null
  const written = await table.delete(key, condition, levels, level)
  await answerWritten(exchange, table, key, levels, { condition, written, expected: 0 })
}

interface Conditions {
  /** Of If-Match; null: there is none. */
  readonly match: Buffer | '*' | null
  readonly onlyIf: boolean
}

function readConditions(exchange: HttpExchange, mayCreate: boolean): Conditions {
  const ifMatch = exchange.header(IF_MATCH.key)
  const ifNoneMatch = exchange.header(IF_NONE_MATCH.key)
  const unmodified = readFlag(exchange.header(X_IF_UNMODIFIED.key), X_IF_UNMODIFIED.name)
  if (ifNoneMatch !== undefined) {
    if (!mayCreate) throw badRequest('If-None-Match is for GET, HEAD and PUT')
    if (ifNoneMatch.trim() !== '*') throw badRequest('If-None-Match of a PUT is *')
    if (ifMatch !== undefined || unmodified) throw badRequest('If-None-Match: * goes with no other condition')
    return { match: null, onlyIf: true }
  }
  if (ifMatch === undefined) {
    if (unmodified) throw badRequest('X-If-Unmodified needs If-Match')
    return { match: null, onlyIf: false }
  }
  return { match: readContext(ifMatch), onlyIf: unmodified }
}

async function settle(
  { match, onlyIf }: Conditions,
  table: KeyValueTable,
  key: Buffer,
  levels: Levels,
): Promise<Condition> {
  if (match === null) return onlyIf ? { kind: 'only if', context: null } : { kind: 'none' }
  const context =
    match === '*' ? await table.context(key, { ...levels, consistency: readLevelOf(levels.consistency) }) : match
  if (context === null) throw preconditionFailed('Nothing is there')
  return onlyIf ? { kind: 'only if', context } : { kind: 'replaces', context }
}

/** Null: it is not wanted. */
function readBackLevel(exchange: HttpExchange, levels: Levels): number | null {
  const prefer = exchange.header(PREFER.key)
  return prefer !== undefined && /(^|[\s,;])return\s*=\s*"?minimal"?($|[\s,;])/i.test(prefer)
    ? null
    : readLevelOf(levels.consistency)
}

interface Outcome {
  readonly condition: Condition
  readonly written: Written
  /** So many versions stand there if nobody else has written. */
  readonly expected: number
}

async function answerWritten(
  exchange: HttpExchange,
  table: KeyValueTable,
  key: Buffer,
  levels: Levels,
  { condition, written, expected }: Outcome,
): Promise<void> {
  const { isApplied, context, siblings } = written
  if (!isApplied) {
    throw preconditionFailed(
      condition.kind === 'only if' && condition.context === null
        ? 'Something is there: GET it, and PUT with its ETag in If-Match'
        : 'Something was written since: GET it again',
    )
  }
  if (condition.kind === 'replaces' && siblings !== null && siblings > expected) {
    const message = 'The write is stored, and others that it had not seen stand beside it'
    if (await answerConflict(exchange, table, key, levels, { message, stored: true, expected })) return
  }
  const headers: HeaderList = {}
  if (context !== null) headers.ETag = tagOf(context)
  if (siblings !== null && siblings > 1) headers['X-Siblings'] = siblings
  exchange.answer(condition.kind === 'only if' && condition.context === null ? 201 : 204, headers, null)
}

/**
 * 409 with all that stands there; false: it is no more than it should be. What was written is written, also when it cannot be read what stands beside it.
 */
async function answerConflict(
  exchange: HttpExchange,
  table: KeyValueTable,
  key: Buffer,
  levels: Levels,
  { message, stored, expected }: { readonly message: string; readonly stored: boolean; readonly expected: number },
): Promise<boolean> {
  const conflict = { error: 'CONFLICT', code: null, message, stored }
  let found: Found | null
  try {
    found = await table.get(key, { ...levels, consistency: readLevelOf(levels.consistency) }, SIBLING_BYTES_MAX)
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    const body = { conflict: true, ...conflict, context: null, complete: false, siblings: [] }
    exchange.answer(409, { 'Content-Type': 'application/json' }, `${JSON.stringify(body)}\n`)
    return true
  }
  if (found === null || found.siblings.length <= expected) return false
  answerSiblings(exchange, 409, found, conflict)
  return true
}

const LIST_PARAMETERS: ReadonlySet<string> = new Set([PREFIX, LIMIT, CURSOR, TABLE_QUERY].map(({ name }) => name))

/** For one answer: so many keys are looked at, and so many reads are done. */
const LOOKED_AT_MAX = 1_000
const READS_MAX = 100

export async function listKeys(exchange: HttpExchange, context: HttpContext): Promise<void> {
  const query = readQuery(exchange.target.query, LIST_PARAMETERS)
  const levels = levelsOf(exchange)
  const prefix = Buffer.from(query.get(PREFIX.name) ?? '', 'utf8')
  const limit = readLimit(query.get(LIMIT.name))
  let next = readCursor(query.get(CURSOR.name))
  const name = query.get(TABLE_QUERY.name) ?? DEFAULT_TABLE
  const table = await context.tables.find(name)
  const keys: string[] = []
  let lookedAt = 0
  if (table === null) next = null
  else {
    // A page has no more keys than are wanted: the cursor stands behind all that were looked at, and none of them is dropped.
    let isShort = false
    for (let reads = 0; reads < READS_MAX && lookedAt < LOOKED_AT_MAX && keys.length < limit && !isShort; reads++) {
      const wanted = Math.min(limit - keys.length, LOOKED_AT_MAX - lookedAt)
      const page = await table.keys(levels, wanted, next)
      lookedAt += page.keys.length
      next = page.next
      // The last, or one that ended at its size: so much was read that the answer goes out.
      isShort = next === null || page.keys.length < wanted
      for (const key of page.keys)
        if (key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0)
          keys.push(key.toString('utf8'))
    }
  }
  const body = { keys, cursor: next?.toString('base64url') ?? null, lookedAt }
  exchange.answer(200, { 'Content-Type': 'application/json' }, `${JSON.stringify(body)}\n`)
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return LIMIT_DEFAULT
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (limit < 1 || limit > LIMIT_MAX) throw badRequest(`limit is a number from 1 to ${LIMIT_MAX}`)
  return limit
}

function readCursor(text: string | undefined): Buffer | null {
  if (text === undefined) return null
  const cursor = /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, 'base64url') : null
  if (cursor === null || !isPagingState(cursor)) throw badRequest('cursor is that of the answer before')
  return cursor
}
