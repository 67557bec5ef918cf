/** One request and its answer: what the processor says, put into the words of the client's version. */

import type { Encoder } from '../../protocol/encoder.ts'
import type { MetadataCache, MetadataForm } from '../../protocol/metadata.ts'
import { protocolError } from '../../protocol/notation.ts'
import type { Request } from '../../protocol/requests.ts'
import {
  encodePrepared,
  encodeRows,
  encodeSchemaChange,
  encodeSetKeyspace,
  encodeVoid,
  type ResponseExtras,
} from '../../protocol/responses.ts'
import { unreachable } from '../base/assert.ts'
import { equalBytes } from '../base/bytes.ts'
import { RequestError } from '../base/errors.ts'
import type { RowsResult, StatementResult } from '../cql/result.ts'
import type { ClientState, MaybePromise } from '../cql/statement.ts'
import type { BatchItem, Prepared, Processor, TraceSession } from './processor.ts'

export type Outcome = StatementResult | { readonly kind: 'prepared'; readonly prepared: Prepared }

export class Exchange {
  readonly version: number
  readonly stream: number
  readonly request: Request
  /** What the request weighs while it is being executed. */
  readonly bytes: number
  prepared: Prepared | null = null
  trace: TraceSession | null = null
  startedMs = 0
  isTraceEnded = false

  constructor(version: number, stream: number, request: Request, bytes: number) {
    this.version = version
    this.stream = stream
    this.request = request
    this.bytes = bytes
  }
}

export function unprepared(id: string): RequestError {
  const bytes = Buffer.from(id, 'latin1')
  return new RequestError(
    'UNPREPARED',
    `Prepared query with ID ${bytes.toString('hex')} not found (either the query was not prepared on this host (maybe the host has been restarted?) or you have prepared too many queries and it has been evicted from the internal cache)`,
    { id: bytes },
  )
}

function batchItems(processor: Processor, request: Request & { kind: 'batch' }): BatchItem[] {
  let id = ''
  let prepared: Prepared | undefined
  return request.items.map((item): BatchItem => {
    if (item.kind === 'query') return { text: item.query, values: item.values }
    if (item.id !== id || prepared === undefined) {
      id = item.id
      prepared = processor.prepared(id)
      if (prepared === undefined) throw unprepared(id)
    }
    return { prepared, values: item.values }
  })
}

function preparedOutcome(prepared: Prepared): Outcome {
  return { kind: 'prepared', prepared }
}

/** Hands the request to the processor. What it names of prepared statements was looked up: see `exchange.prepared`. */
export function execute(exchange: Exchange, processor: Processor, client: ClientState): MaybePromise<Outcome> {
  const { request } = exchange
  switch (request.kind) {
    case 'execute':
      if (exchange.prepared === null) throw unprepared(request.id)
      return processor.execute(exchange.prepared, request.parameters, request.parameters.names, client)
    case 'query': {
      const { parameters } = request
      return processor.query(request.query, parameters, parameters.names, client, parameters.keyspace)
    }
    case 'batch': {
      const items = batchItems(processor, request)
      return processor.batch(request.type, items, request.parameters, client, request.parameters.keyspace)
    }
    case 'prepare': {
      const prepared = processor.prepare(request.query, request.keyspace, client)
      return prepared instanceof Promise ? prepared.then(preparedOutcome) : preparedOutcome(prepared)
    }
    default:
      throw protocolError('Unsupported message')
  }
}

/** Whether the client has the metadata already, wants it anew, or knows another that has become wrong (v5). */
function metadataForm(exchange: Exchange, rows: RowsResult): MetadataForm {
  const { request } = exchange
  switch (request.kind) {
    case 'query':
      return request.parameters.skipMetadata ? 'skipped' : 'full'
    case 'execute': {
      const { skipMetadata } = request.parameters
      const known = exchange.prepared?.statement.resultMetadata
      // A conditional statement: its rows are told of with each answer, and never remembered.
      if (known === null) return 'full'
      if (request.resultMetadataId !== null) {
        if (!equalBytes(request.resultMetadataId, rows.metadata.id)) return 'changed'
        return skipMetadata ? 'skipped' : 'full'
      }
      if (!skipMetadata || !known) return 'full'
      return known === rows.metadata || equalBytes(known.id, rows.metadata.id) ? 'skipped' : 'full'
    }
    default:
      return 'full'
  }
}

const NO_EXTRAS: ResponseExtras = { tracingId: null, warnings: null }

export function answer(encoder: Encoder, cache: MetadataCache, exchange: Exchange, outcome: Outcome): void {
  const { version, stream } = exchange
  const warnings = (outcome.kind === 'prepared' ? outcome.prepared.warnings : outcome.warnings) ?? null
  const tracingId = exchange.trace?.id ?? null
  const extras = warnings === null && tracingId === null ? NO_EXTRAS : { tracingId, warnings }
  switch (outcome.kind) {
    case 'void':
      encodeVoid(encoder, version, stream, extras)
      return
    case 'rows':
      encodeRows(encoder, version, stream, outcome, metadataForm(exchange, outcome), cache, extras)
      outcome.memory?.giveBack()
      return
    case 'set_keyspace':
      encodeSetKeyspace(encoder, version, stream, outcome.keyspace, extras)
      return
    case 'schema_change':
      encodeSchemaChange(encoder, version, stream, outcome.change, extras)
      return
    case 'prepared': {
      const { id, statement } = outcome.prepared
      const { variables, partitionKeyIndexes, resultMetadata } = statement
      encodePrepared(encoder, version, stream, { id, variables, partitionKeyIndexes, resultMetadata }, cache, extras)
      return
    }
    default:
      unreachable(outcome)
  }
}
