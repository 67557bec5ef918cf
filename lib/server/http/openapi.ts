/** The document at /openapi.json (OpenAPI 3.1), made of the operations. */
import { POLYXENA_VERSION } from '../../version.ts'
import type { Answer, Operation } from './operations.ts'
import type { Parameter } from './parameters.ts'

const error = (description: string): Answer => ({ description, body: 'Error' })

/** Any request may be answered so. */
export const COMMON_ANSWERS: Readonly<Record<number, Answer>> = {
  400: error(
    'The request is none of HTTP/1.1, or not as this document says, or CQL refuses it (INVALID, PROTOCOL_ERROR): the message says what is wrong.',
  ),
  403: error('The request has an Origin: pages in a browser may not ask.'),
  408: error('The request came too slowly. The connection ends.'),
  413: error('The value is too large. The connection ends.'),
  414: error('The URL is too long.'),
  421: error('The node is on loopback, and the Host of the request is not.'),
  429: error('This connection has too many requests in flight. Retry-After says when to ask again.'),
  431: error('The headers are too long. The connection ends.'),
  500: error('Replicas failed (READ_FAILURE, WRITE_FAILURE with `fate: "unknown"`), or this node did (SERVER_ERROR).'),
  503: error(
    'Not now: too few replicas are alive (UNAVAILABLE), too much is to be done (OVERLOADED), the node is joining (IS_BOOTSTRAPPING). ' +
      'Nothing was written. Retry-After says when to ask again.',
  ),
  504: error(
    'Too few replicas answered in time (READ_TIMEOUT, WRITE_TIMEOUT, CAS_WRITE_UNKNOWN). `fate: "unknown"`: the write may have been done, or be done yet.',
  ),
}

const HEADERS: Readonly<Record<string, object>> = {
  ETag: { description: 'The context, in base64url and quotes: what the answer covers.', schema: { type: 'string' } },
  'Content-Type': { description: 'As it was stored.', schema: { type: 'string' } },
  'Last-Modified': { description: 'When it was written.', schema: { type: 'string' } },
  'X-TTL': { description: 'Seconds until it is gone.', schema: { type: 'integer' } },
  'X-Siblings': { description: 'How many values stand there, if there are several.', schema: { type: 'integer' } },
}

const text = { type: 'string' }
const textOrNull = { type: ['string', 'null'] }

const SCHEMAS = {
  Error: {
    type: 'object',
    required: ['error', 'code', 'message'],
    properties: {
      error: { ...text, description: "CQL's name of the error, or one of HTTP's own." },
      code: { type: ['integer', 'null'], description: 'Its number in the native protocol; null where it has none.' },
      message: text,
      fate: { ...text, enum: ['unknown'], description: 'The write may have been done, or be done yet.' },
      consistency: text,
      required: { type: 'integer' },
      alive: { type: 'integer' },
      received: { type: 'integer' },
      blockFor: { type: 'integer' },
      failures: { type: 'integer' },
    },
  },
  Siblings: {
    type: 'object',
    required: ['conflict', 'context', 'siblings', 'complete'],
    properties: {
      conflict: { type: 'boolean', const: true },
      context: {
        ...textOrNull,
        description:
          'Covers all siblings: in quotes it is the ETag that resolves them. null, with 409: they could not be read.',
      },
      complete: { type: 'boolean', description: 'false: there are more siblings than these.' },
      stored: { type: 'boolean', description: 'With 409: whether the write that is answered was stored.' },
      error: text,
      message: text,
      siblings: {
        type: 'array',
        items: {
          type: 'object',
          required: ['value', 'encoding', 'contentType', 'time', 'context'],
          properties: {
            value: text,
            encoding: { ...text, enum: ['utf-8', 'base64'], description: 'Of `value`: text if it is UTF-8.' },
            contentType: text,
            time: { ...textOrNull, format: 'date-time', description: 'When it was written.' },
            timeMicros: { type: ['integer', 'null'] },
            ttl: { type: ['integer', 'null'], description: 'Seconds until it is gone.' },
            version: { ...textOrNull, description: 'Names the PUT that wrote it.' },
            context: text,
          },
        },
      },
    },
  },
  Keys: {
    type: 'object',
    required: ['keys', 'cursor', 'lookedAt'],
    properties: {
      keys: { type: 'array', items: text },
      cursor: { ...textOrNull, description: 'null: there are no more.' },
      lookedAt: { type: 'integer', description: 'How many keys were looked at for this answer.' },
    },
  },
}

export function createOpenApi(operations: readonly Operation[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of operations) {
    paths[operation.path] ??= {}
    paths[operation.path]![operation.method] = describeOperation(operation)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Polyxena: keys and values',
      version: POLYXENA_VERSION,
      description:
        'Values that are never silently lost: of writes that did not see each other all are kept, until somebody who has seen them writes one in their place. ' +
        'The rows are those of CQL tables in keyspace kv (resolution = vclock), which CQL reads and writes as well.',
    },
    paths,
    components: { schemas: SCHEMAS },
  }
}

function describeOperation({ id, summary, parameters, takesBody, answers, method }: Operation): object {
  return {
    operationId: id,
    summary,
    parameters: parameters.filter(({ name }) => name !== 'Content-Type').map(describeParameter),
    ...(takesBody && {
      requestBody: { description: 'The value, of any type.', content: { '*/*': { schema: BYTES } } },
    }),
    responses: Object.fromEntries(
      Object.entries({ ...COMMON_ANSWERS, ...answers }).map(([status, answer]) => [
        status,
        describeAnswer(answer, method === 'head'),
      ]),
    ),
  }
}

const BYTES = { type: 'string', format: 'binary' }

function describeParameter({ name, in: place, description, schema }: Parameter): object {
  return { name, in: place, description, schema, ...(place === 'path' && { required: true }) }
}

function describeAnswer({ description, body, headers }: Answer, isHead: boolean): object {
  return {
    description,
    ...(headers && { headers: Object.fromEntries(headers.map((name) => [name, HEADERS[name]])) }),
    ...(body !== null && !isHead && { content: contentOf(body) }),
  }
}

function contentOf(body: NonNullable<Answer['body']>): object {
  if (body === 'bytes') return { '*/*': { schema: BYTES } }
  return { 'application/json': { schema: { $ref: `#/components/schemas/${body}` } } }
}
