/** From an exception to an ERROR: the world's errors in their words, ours with the number under which they were logged and nothing more. */

import type { Encoder } from '../../protocol/encoder.ts'
import { encodeError } from '../../protocol/responses.ts'
import { RequestError } from '../base/errors.ts'
import type { Log, Random } from '../runtime/runtime.ts'
import type { ClientCounters } from './limits.ts'

export interface FailureContext {
  readonly log: Log
  readonly random: Random
  readonly counters: ClientCounters
}

const INCIDENT_BYTES = 8

const SOURCE = 'failure.ts'

function told(context: FailureContext, error: unknown): RequestError {
  if (error instanceof RequestError) return error
  context.counters.incidents += 1
  const incident = context.random.fill(Buffer.alloc(INCIDENT_BYTES)).toString('hex')
  context.log.error(SOURCE, `Unexpected exception during request; incident ${incident}`, error)
  return new RequestError('SERVER_ERROR', `Unexpected exception; incident ${incident}`)
}

/** Writes the ERROR, in place of an answer that may have been begun. */
export function answerFailure(
  encoder: Encoder,
  context: FailureContext,
  version: number,
  stream: number,
  error: unknown,
  tracingId: Uint8Array | null = null,
): void {
  encoder.rollback()
  context.counters.errors += 1
  const request = told(context, error)
  encodeError(encoder, version, stream, request, { tracingId, warnings: request.warnings })
}

export function overloaded(message: string): RequestError {
  return new RequestError('OVERLOADED', message)
}
