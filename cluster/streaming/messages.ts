/**
 * What a node that joins and its sources say to each other (docs/formats.md, "Between nodes").
 *   open   JSON: the session, and what is fetched    seal, close   JSON: the session
 *   page   session 16 | table id 16 | cursor | bytes u32    answer: truncated at, ms since 1970, f64 | cursor, where there is more | mutations
 *   take over   JSON: who leaves, and whether to seal    answer: JSON: whether all is here, and why not
 *   write  session 16 | mutations    mirror   mutations    mutations: varuint count, each u32 length + bytes (storage/model/mutation.ts)
 * Always: mutations are checked before anything is done with them; what damaged bytes say is a BytesError.
 */
import { ByteReader, BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import type { ReadPoint } from '../../storage/model/command.ts'
import { validateMutation } from '../../storage/model/validation.ts'
import type { Range } from './plan.ts'

export interface OpenRequest {
  readonly session: string
  readonly parts: readonly { readonly keyspaces: readonly string[]; readonly ranges: readonly Range[] }[]
}

/** How far a table was fetched. */
export interface Cursor {
  /** Which of the ranges that the session has for the table's keyspace, and from where in it; null: from its beginning. */
  readonly range: number
  readonly after: ReadPoint | null
}

export const START: Cursor = { range: 0, after: null }

export interface PageRequest {
  readonly session: string
  readonly table: string
  readonly cursor: Cursor
  readonly bytes: number
}

export interface Page {
  /** When the table was last truncated at the source, in ms since 1970; 0: never. */
  readonly truncatedAtMs: number
  /** Null: that was all. */
  readonly next: Cursor | null
  /** Views of the message. */
  readonly mutations: readonly Buffer[]
}

/** The session is unknown to the source, or missed a write: begin anew. */
export const SessionState = { OK: 0, LOST: 1 } as const

export function encodeOpen({ session, parts }: OpenRequest): Buffer {
  const texts = parts.map(({ keyspaces, ranges }) => ({
    keyspaces,
    ranges: ranges.map(({ start, end }) => [start?.toString('hex') ?? null, end?.toString('hex') ?? null]),
  }))
  return Buffer.from(JSON.stringify({ session, parts: texts }))
}

export function decodeOpen(payload: Buffer): OpenRequest {
  const { session, parts } = parseJson(payload) as {
    session: string
    parts: { keyspaces: string[]; ranges: (string | null)[][] }[]
  }
  const bound = (text: string | null | undefined): Buffer | null => (text == null ? null : Buffer.from(text, 'hex'))
  return {
    session,
    parts: parts.map(({ keyspaces, ranges }) => ({
      keyspaces,
      ranges: ranges.map(([start, end]) => ({ start: bound(start), end: bound(end) })),
    })),
  }
}

export function encodeSession(session: string): Buffer {
  return Buffer.from(JSON.stringify({ session }))
}

export function decodeSession(payload: Buffer): string {
  return (parseJson(payload) as { session: string }).session
}

/** How far is it? `seals`: and let it be the end of it. */
export interface TakeOverQuestion {
  readonly leaving: string
  readonly seals: boolean
}

export interface TakeOverReport {
  readonly isDone: boolean
  /** Why it waits; null: it is at it. */
  readonly trouble: string | null
}

export function encodeQuestion({ leaving, seals }: TakeOverQuestion): Buffer {
  return Buffer.from(JSON.stringify({ leaving, seals }))
}

export function decodeQuestion(payload: Buffer): TakeOverQuestion {
  const { leaving, seals } = parseJson(payload) as { leaving?: unknown; seals?: unknown }
  return { leaving: String(leaving), seals: seals === true }
}

export function encodeReport({ isDone, trouble }: TakeOverReport): Buffer {
  return Buffer.from(JSON.stringify({ isDone, trouble }))
}

export function decodeReport(payload: Buffer): TakeOverReport {
  const { isDone, trouble } = parseJson(payload) as { isDone?: unknown; trouble?: unknown }
  return { isDone: isDone === true, trouble: typeof trouble === 'string' ? trouble : null }
}

function parseJson(payload: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(payload.toString())
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below.
  }
  throw new BytesError('a message of streaming is no JSON object')
}

export function encodeState(state: number): Buffer {
  return Buffer.from([state])
}

export function encodePageRequest({ session, table, cursor, bytes }: PageRequest): Buffer {
  const out = new ByteWriter(256)
  out.bytes(uuidBytes(session))
  out.bytes(uuidBytes(table))
  writeCursor(out, cursor)
  out.int32(bytes)
  return out.copy()
}

export function decodePageRequest(payload: Buffer): PageRequest {
  const reader = new ByteReader(Buffer.from(payload))
  return {
    session: uuidText(reader.view(16)),
    table: uuidText(reader.view(16)),
    cursor: readCursor(reader) ?? START,
    bytes: reader.uint32(),
  }
}

export function encodePage({ truncatedAtMs, next, mutations }: Page): Buffer {
  const out = new ByteWriter(64 * 1024)
  out.uint8(SessionState.OK)
  out.float64(truncatedAtMs)
  writeCursor(out, next)
  writeMutations(out, mutations)
  return out.copy()
}

/** Null: the session is lost. */
export function decodePage(payload: Buffer): Page | null {
  const reader = new ByteReader(payload)
  if (reader.uint8() !== SessionState.OK) return null
  const truncatedAtMs = reader.float64()
  const next = readCursor(reader)
  return { truncatedAtMs, next, mutations: readMutations(reader) }
}

export function encodeWrite(session: string, mutations: readonly Buffer[]): Buffer {
  const out = new ByteWriter(1024)
  out.bytes(uuidBytes(session))
  writeMutations(out, mutations)
  return out.copy()
}

export function decodeWrite(payload: Buffer): { session: string; mutations: Buffer[] } {
  const reader = new ByteReader(payload)
  return { session: uuidText(reader.view(16)), mutations: readMutations(reader) }
}

export function encodeMutations(mutations: readonly Buffer[]): Buffer {
  const out = new ByteWriter(1024)
  writeMutations(out, mutations)
  return out.copy()
}

export function decodeMutations(payload: Buffer): Buffer[] {
  return readMutations(new ByteReader(payload))
}

function writeMutations(out: ByteWriter, mutations: readonly Buffer[]): void {
  out.varuint(mutations.length)
  for (const mutation of mutations) {
    out.int32(mutation.length)
    out.bytes(mutation)
  }
}

function readMutations(reader: ByteReader): Buffer[] {
  const count = reader.varuint()
  const mutations: Buffer[] = []
  for (let i = 0; i < count; i++) {
    const mutation = reader.view(reader.uint32())
    validateMutation(mutation)
    mutations.push(mutation)
  }
  return mutations
}

function writeCursor(out: ByteWriter, cursor: Cursor | null): void {
  out.uint8(cursor === null ? 0 : 1)
  if (cursor === null) return
  out.varuint(cursor.range)
  writePoint(out, cursor.after)
}

function readCursor(reader: ByteReader): Cursor | null {
  if (reader.uint8() === 0) return null
  return { range: reader.varuint(), after: readPoint(reader) }
}

function writePoint(out: ByteWriter, point: ReadPoint | null): void {
  out.uint8(point === null ? 0 : point.partitionDone ? 2 : 1)
  if (point === null) return
  writeBytes(out, point.position)
  writeBytes(out, point.clustering)
}

function readPoint(reader: ByteReader): ReadPoint | null {
  const kind = reader.uint8()
  if (kind === 0) return null
  const position = readBytes(reader)
  const clustering = readBytes(reader)
  if (kind > 2 || position === null) throw new BytesError(`a point of kind ${kind}`)
  return { position, clustering, partitionDone: kind === 2, rowsGiven: 0 }
}

function writeBytes(out: ByteWriter, bytes: Uint8Array | null): void {
  out.uint8(bytes === null ? 0 : 1)
  if (bytes === null) return
  out.varuint(bytes.length)
  out.bytes(bytes)
}

/** A copy: it outlives the message. */
function readBytes(reader: ByteReader): Buffer | null {
  if (reader.uint8() === 0) return null
  return Buffer.from(reader.view(reader.varuint()))
}
