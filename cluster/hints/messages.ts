/**
 * Hints on their way to the node that missed them, or to who shall keep them from now on.
 *
 * HINT     := (written at 8 | length u32 | mutation)*          its answer: a byte for each: 0 taken, else 1 + the FailureReason
 * STAND_IN := host id 16 | written at 8 | (length u32 | mutation)*          answered with nothing when the hints are kept
 * HAND_ON  := host id 16 | (kept at 8 | gc_grace u32 | HINT's one)*          likewise
 */
import { ByteReader, BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { validateMutation } from '../../storage/model/validation.ts'
import type { Hint } from './record.ts'

export interface WrittenMutation {
  readonly writtenAt: number
  readonly mutation: Uint8Array
}

const TWO_32 = 4294967296

export function encodeHints(hints: readonly WrittenMutation[]): Buffer {
  const out = new ByteWriter(1024)
  for (const { writtenAt, mutation } of hints) {
    putMicros(out, writtenAt)
    out.int32(mutation.length)
    out.bytes(mutation)
  }
  return out.view()
}

/** Views. Throws BytesError on what is no mutation. */
export function decodeHints(payload: Buffer): { readonly writtenAt: number; readonly mutation: Buffer }[] {
  const reader = new ByteReader(payload)
  const hints: { writtenAt: number; mutation: Buffer }[] = []
  while (reader.remaining() > 0) {
    const writtenAt = readMicros(reader)
    const mutation = reader.view(reader.uint32())
    validateMutation(mutation)
    hints.push({ writtenAt, mutation })
  }
  if (hints.length === 0) throw new BytesError('a message without hints')
  return hints
}

export function encodeHandedOn(hostId: string, hints: readonly Hint[]): Buffer {
  const out = new ByteWriter(1024)
  out.bytes(uuidBytes(hostId))
  for (const { keptAtMs, gcGraceSeconds, writtenAt, mutation } of hints) {
    putMicros(out, keptAtMs)
    out.int32(gcGraceSeconds)
    putMicros(out, writtenAt)
    out.int32(mutation.length)
    out.bytes(mutation)
  }
  return out.view()
}

/** Views. Throws BytesError on what is no mutation. */
export function decodeHandedOn(payload: Buffer): { hostId: string; hints: Hint[] } {
  const reader = new ByteReader(payload)
  const hostId = uuidText(reader.view(16))
  const hints: Hint[] = []
  while (reader.remaining() > 0) {
    const keptAtMs = readMicros(reader)
    const gcGraceSeconds = reader.uint32()
    const writtenAt = readMicros(reader)
    const mutation = reader.view(reader.uint32())
    validateMutation(mutation)
    hints.push({ keptAtMs, gcGraceSeconds, writtenAt, mutation })
  }
  if (hints.length === 0) throw new BytesError('a message without hints')
  return { hostId, hints }
}

/** The mutations follow. */
export function encodeStandInHead(hostId: string, writtenAt: number): Buffer {
  const out = new ByteWriter(24)
  out.bytes(uuidBytes(hostId))
  putMicros(out, writtenAt)
  return out.view()
}

/** Views. Throws BytesError on what is no mutation. */
export function decodeStandIn(payload: Buffer): { hostId: string; writtenAt: number; mutations: Buffer[] } {
  const reader = new ByteReader(payload)
  const hostId = uuidText(reader.view(16))
  const writtenAt = readMicros(reader)
  const mutations: Buffer[] = []
  while (reader.remaining() > 0) {
    const mutation = reader.view(reader.uint32())
    validateMutation(mutation)
    mutations.push(mutation)
  }
  if (mutations.length === 0) throw new BytesError('a message without hints')
  return { hostId, writtenAt, mutations }
}

/** µs, or ms: a number beyond 32 bits. */
function putMicros(out: ByteWriter, micros: number): void {
  out.int32(Math.floor(micros / TWO_32))
  out.int32(micros % TWO_32)
}

function readMicros(reader: ByteReader): number {
  return reader.uint32() * TWO_32 + reader.uint32()
}
