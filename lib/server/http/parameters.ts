/** The parameters of the operations: what the code reads them by is what /openapi.json says of them. */

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly schema: object
}

function path(name: string, description: string, schema: object): Parameter {
  return { name, in: 'path', description, schema }
}

function query(name: string, description: string, schema: object): Parameter {
  return { name, in: 'query', description, schema }
}

/** A header; `key` is its name as Node.js has it. */
export interface HeaderParameter extends Parameter {
  readonly key: string
}

function header(name: string, description: string, schema: object = { type: 'string' }): HeaderParameter {
  return { name, in: 'header', description, schema, key: name.toLowerCase() }
}

export const KEY = path(
  'key',
  'Any text of 1 to 65535 bytes of UTF-8, percent-encoded; a slash in it is written %2F.',
  { type: 'string', minLength: 1 },
)

export const TABLE = path('table', 'A table of keyspace kv. A PUT makes it when it is not there.', {
  type: 'string',
  pattern: '^[a-z][a-z0-9_]{0,47}$',
})

export const LEVELS = [
  'ANY',
  'ONE',
  'TWO',
  'THREE',
  'QUORUM',
  'ALL',
  'LOCAL_QUORUM',
  'EACH_QUORUM',
  'SERIAL',
  'LOCAL_SERIAL',
  'LOCAL_ONE',
] as const

export const X_CONSISTENCY = header(
  'X-Consistency',
  'How many replicas must have answered, by the names that CQL has for it. ANY is for writes, SERIAL and LOCAL_SERIAL are for reads.',
  { type: 'string', enum: LEVELS, default: 'LOCAL_QUORUM' },
)

export const X_SERIAL_CONSISTENCY = header(
  'X-Serial-Consistency',
  'Of a write that is done only under a condition: whether all data centres decide, or this one.',
  { type: 'string', enum: ['SERIAL', 'LOCAL_SERIAL'], default: 'SERIAL' },
)

export const X_TTL = header('X-TTL', 'The value is gone after so many seconds; 0: it stays.', {
  type: 'integer',
  minimum: 0,
  maximum: 630_720_000,
})

export const CONTENT_TYPE = header('Content-Type', 'Kept with the value, and answered with it.', {
  type: 'string',
  maxLength: 255,
  default: 'application/octet-stream',
})

export const IF_MATCH = header(
  'If-Match',
  'The ETag of the answer that was looked at: this write replaces exactly what that answer covered. What was written since by others is never lost: it stands ' +
    'beside this write, and the answer is 409 with all that stands there. `*`: what this node finds there when the request comes; 412 when that is nothing. ' +
    'Without If-Match a PUT has seen nothing and stands beside whatever is there, and a DELETE has seen what a read at its level finds.',
)

export const X_IF_UNMODIFIED = header(
  'X-If-Unmodified',
  'true, with If-Match: the write is done only if nothing was written since that answer, by a lightweight transaction; else 412, and nothing is changed.',
  { type: 'boolean', default: false },
)

export const IF_NONE_MATCH_ANY = header(
  'If-None-Match',
  '`*`: the value is stored only if nothing is there, by a lightweight transaction; else 412, and nothing is changed.',
  { type: 'string', enum: ['*'] },
)

export const IF_NONE_MATCH = header(
  'If-None-Match',
  'ETags of answers that the client has: 304 without the value if one of them is still what stands there.',
)

export const IF_MATCH_READ = header('If-Match', '412 unless one of these ETags is still what stands there.')

export const PREFER = header(
  'Prefer',
  'return=minimal: the value is not looked at again when it is stored; the answer is quicker and has no ETag.',
)

export const PREFIX = query('prefix', 'Only keys that begin with it.', { type: 'string', default: '' })

export const LIMIT_MAX = 1_000
export const LIMIT_DEFAULT = 100

export const LIMIT = query('limit', 'So many keys at most.', {
  type: 'integer',
  minimum: 1,
  maximum: LIMIT_MAX,
  default: LIMIT_DEFAULT,
})

export const CURSOR = query('cursor', 'Of the answer before: go on behind it.', { type: 'string' })

export const TABLE_QUERY = query('table', 'A table of keyspace kv.', {
  type: 'string',
  pattern: '^[a-z][a-z0-9_]{0,47}$',
  default: 'items',
})
