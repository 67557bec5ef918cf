/**
 * What can be asked over HTTP: each operation with its path, its parameters, its answers, and what does it. Routes and /openapi.json are made of this list.
 */

import type { HttpContext } from './context.ts'
import type { HttpExchange } from './exchange.ts'
import { deleteKey, getKey, listKeys, putKey } from './key-operations.ts'
import {
  CONTENT_TYPE,
  CURSOR,
  IF_MATCH,
  IF_MATCH_READ,
  IF_NONE_MATCH,
  IF_NONE_MATCH_ANY,
  KEY,
  LIMIT,
  type Parameter,
  PREFER,
  PREFIX,
  TABLE,
  TABLE_QUERY,
  X_CONSISTENCY,
  X_IF_UNMODIFIED,
  X_SERIAL_CONSISTENCY,
  X_TTL,
} from './parameters.ts'

export interface Answer {
  readonly description: string
  /** A name in the document's schemas, `bytes` for a value as it was stored; null: no body. */
  readonly body: 'Siblings' | 'Keys' | 'Error' | 'bytes' | null
  readonly headers?: readonly string[]
}

export interface Operation {
  readonly method: 'get' | 'head' | 'put' | 'delete'
  /** As OpenAPI writes paths. */
  readonly path: string
  readonly id: string
  readonly summary: string
  readonly parameters: readonly Parameter[]
  readonly takesBody: boolean
  /** By status; those that any request may get are said once, in the document. */
  readonly answers: Readonly<Record<number, Answer>>
  run(exchange: HttpExchange, context: HttpContext): void | Promise<void>
}

const error = (description: string): Answer => ({ description, body: 'Error' })

const CONFLICT: Answer = {
  description:
    'Siblings: values that were written at once, none of which had seen the others. A PUT with this ETag in If-Match resolves them.',
  body: 'Siblings',
  headers: ['ETag'],
}

const STORED_BESIDE: Answer = {
  description:
    'With If-Match: the write is stored (`stored: true`), and others stand beside it that its context had not seen; the body has all of them, and its ETag ' +
    'resolves them. `stored: false`: the key has as many siblings as it may have, and the write was refused until they are resolved.',
  body: 'Siblings',
  headers: ['ETag'],
}

const REFUSED = error(
  'The condition does not hold (X-If-Unmodified, If-None-Match: *, If-Match: *): nothing was changed.',
)

const READ_PARAMETERS: readonly Parameter[] = [X_CONSISTENCY, IF_NONE_MATCH, IF_MATCH_READ]

const READ_ANSWERS: Readonly<Record<number, Answer>> = {
  200: {
    description: 'The value, as it was stored.',
    body: 'bytes',
    headers: ['ETag', 'Content-Type', 'Last-Modified', 'X-TTL'],
  },
  300: CONFLICT,
  304: { description: 'What the client has still stands there.', body: null, headers: ['ETag'] },
  404: error('Nothing is there.'),
  412: error('None of the ETags of If-Match is what stands there.'),
}

const WRITE_PARAMETERS: readonly Parameter[] = [X_CONSISTENCY, IF_MATCH, X_IF_UNMODIFIED, X_SERIAL_CONSISTENCY, PREFER]

function keyOperations(path: string, place: readonly Parameter[], suffix: string): Operation[] {
  return [
    {
      method: 'get',
      path,
      id: `getKey${suffix}`,
      summary: 'The value of a key, or its siblings.',
      parameters: [...place, ...READ_PARAMETERS],
      takesBody: false,
      answers: READ_ANSWERS,
      run: getKey,
    },
    {
      method: 'head',
      path,
      id: `headKey${suffix}`,
      summary: 'As GET, without the body.',
      parameters: [...place, ...READ_PARAMETERS],
      takesBody: false,
      answers: READ_ANSWERS,
      run: getKey,
    },
    {
      method: 'put',
      path,
      id: `putKey${suffix}`,
      summary: 'Stores a value.',
      parameters: [...place, ...WRITE_PARAMETERS, IF_NONE_MATCH_ANY, X_TTL, CONTENT_TYPE],
      takesBody: true,
      answers: {
        201: { description: 'Stored where nothing was (If-None-Match: *).', body: null, headers: ['ETag'] },
        204: {
          description:
            'Stored. The ETag is there if the value stands alone. X-Siblings says how many stand there when there are several.',
          body: null,
          headers: ['ETag', 'X-Siblings'],
        },
        409: STORED_BESIDE,
        412: REFUSED,
        415: error('The value has a Content-Encoding, which is not kept: nothing was changed.'),
      },
      run: putKey,
    },
    {
      method: 'delete',
      path,
      id: `deleteKey${suffix}`,
      summary: 'Removes what is there, as far as it was seen.',
      parameters: [...place, ...WRITE_PARAMETERS],
      takesBody: false,
      answers: {
        204: {
          description: 'What it had seen is removed, or nothing was there.',
          body: null,
        },
        409: STORED_BESIDE,
        412: REFUSED,
      },
      run: deleteKey,
    },
  ]
}

export const OPERATIONS: readonly Operation[] = [
  ...keyOperations('/kv/{key}', [KEY], ''),
  ...keyOperations('/kv/{table}/{key}', [TABLE, KEY], 'OfTable'),
  {
    method: 'get',
    path: '/kv',
    id: 'listKeys',
    summary: 'Keys, in no order that means anything, a bounded number of them looked at for each answer.',
    parameters: [PREFIX, LIMIT, CURSOR, TABLE_QUERY, X_CONSISTENCY],
    takesBody: false,
    answers: {
      200: {
        description: 'Keys. While the cursor is not null there may be more, also when none is here.',
        body: 'Keys',
      },
    },
    run: listKeys,
  },
  {
    method: 'head',
    path: '/kv',
    id: 'headKeys',
    summary: 'As GET, without the body.',
    parameters: [PREFIX, LIMIT, CURSOR, TABLE_QUERY, X_CONSISTENCY],
    takesBody: false,
    answers: { 200: { description: 'As GET.', body: 'Keys' } },
    run: listKeys,
  },
]
