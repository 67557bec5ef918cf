/** Every frame recorded from Cassandra: decoded to what it means, encoded from what it means, and cut out of the stream at every split. */
import t, { type Test } from 'tap'
import { ByteReader } from '../../lib/base/bytes.ts'
import { type Compression, loadCompression } from '../../protocol/compression.ts'
import { Decoder } from '../../protocol/decoder.ts'
import { Encoder } from '../../protocol/encoder.ts'
import { type Envelope, HEADER_BYTES } from '../../protocol/envelope.ts'
import { MetadataCache, type MetadataForm } from '../../protocol/metadata.ts'
import { HeaderFlag, opcodeName, QueryFlag } from '../../protocol/opcodes.ts'
import { encodeRequest, readCustomPayload, readRequest } from '../../protocol/requests.ts'
import {
  decodeResponse,
  encodeAuthenticate,
  encodeAuthSuccess,
  encodeError,
  encodeEvent,
  encodePrepared,
  encodeReady,
  encodeRows,
  encodeSchemaChange,
  encodeSetKeyspace,
  encodeSupported,
  encodeVoid,
} from '../../protocol/responses.ts'
import { framesOf, type GoldenCase, type GoldenMessage, goldenCases } from '../support/frames.ts'
import {
  columns,
  type GoldenMetadata,
  hexBuffer,
  request,
  requestError,
  rowBytes,
  schemaChange,
  serverEvent,
} from '../support/golden-bodies.ts'

const BODY_BYTES_MAX = 16 * 1024 * 1024
const compressions = new Map<string, Compression>([
  ['lz4', await loadCompression('lz4')],
  ['snappy', await loadCompression('snappy')],
])
const cache = new MetadataCache()

/** A decoder in the state in which this message found its connection. */
function decoderFor(golden: GoldenCase, message: GoldenMessage): Decoder {
  const decoder = new Decoder(BODY_BYTES_MAX)
  const compression = golden.compression === null ? null : compressions.get(golden.compression)!
  if (message.frames !== undefined) decoder.useSegments(compression)
  else decoder.bodyCompression = compression
  return decoder
}

function flagNames(flags: number): string[] {
  return Object.entries(HeaderFlag)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name)
}

function uuidBytes(text: unknown): Buffer {
  return hexBuffer(String(text).replaceAll('-', ''))
}

/** The envelope of this message: others may have come in the same frame. */
function cutOut(golden: GoldenCase, message: GoldenMessage): Envelope {
  const decoder = decoderFor(golden, message)
  decoder.push(hexBuffer(message.wire))
  const isWhole = message.envelope === undefined && message.frames !== undefined
  const body = plainEnvelope(message).subarray(HEADER_BYTES)
  while (decoder.next()) if (isWhole || decoder.envelope.body().equals(body)) return decoder.envelope
  throw new Error('no envelope of the message')
}

function checkDecodedRequest(t: Test, message: GoldenMessage, envelope: Envelope): void {
  const { version } = message.header
  const reader = new ByteReader(envelope.buffer, envelope.start, envelope.end)
  const payload = readCustomPayload(reader, envelope.flags, version)
  if (message.body.customPayload !== undefined)
    t.same(
      [...payload!].map(([key, bytes]) => [key, bytes?.toString('hex') ?? null]),
      Object.entries(message.body.customPayload as object),
    )
  const expected = request(message.header.opcode, message.body, version)
  t.same(readRequest(reader, envelope.opcode, version), withoutUnset(expected, version))
  if (message.body.trailingBytes === undefined) t.equal(reader.remaining(), 0)
}

/** v3 reads what is not set as null. */
function withoutUnset<T>(decoded: T, version: number): T {
  if (version > 3 || typeof decoded !== 'object' || decoded === null) return decoded
  if (!('parameters' in decoded)) return decoded
  const parameters = decoded.parameters as { values: readonly unknown[] }
  const values = parameters.values.map((value) => (typeof value === 'symbol' ? null : value))
  return { ...decoded, parameters: { ...parameters, values } }
}

function checkDecodedResponse(t: Test, message: GoldenMessage, envelope: Envelope): void {
  const { body } = message
  const { version } = message.header
  const { response, tracingId, warnings } = decodeResponse(envelope)
  t.same(warnings, (body.warnings as string[]) ?? [])
  t.same(
    tracingId?.toString('hex') ?? null,
    body.tracingId === undefined ? null : uuidBytes(body.tracingId).toString('hex'),
  )
  switch (response.kind) {
    case 'error': {
      const expected = requestError(body)
      t.equal(response.error.code, expected.code)
      t.equal(response.error.message, expected.message)
      const { failures, ...rest } = expected.fields
      t.match(response.error.fields, rest)
      if (version >= 5 && failures !== undefined) t.same(response.error.fields.failures, failures)
      return
    }
    case 'rows': {
      const metadata = body.metadata as GoldenMetadata
      t.equal(response.rowCount, body.rowCount)
      t.equal(response.metadata.columnCount, metadata.columnCount)
      t.same(response.metadata.columns, metadata.columns === undefined ? null : columns(metadata, true))
      t.same(response.metadata.pagingState?.toString('hex'), metadata.pagingState)
      t.same(response.metadata.newId?.toString('hex'), metadata.newMetadataId)
      const expected = rowBytes(body.cells as (string | null)[][])
      if (expected !== null) t.same(response.rowBytes, expected)
      return
    }
    case 'prepared': {
      t.equal(response.id.toString('hex'), body.id)
      t.equal(response.resultMetadataId?.toString('hex'), body.resultMetadataId)
      const variables = body.variables as GoldenMetadata
      t.same(response.variables.columns, columns(variables, true))
      t.same(response.variables.partitionKeyIndexes, variables.pkIndices ?? [])
      const result = body.resultMetadata as GoldenMetadata
      t.same(response.resultMetadata.columns, result.columns === undefined ? null : columns(result, true))
      return
    }
    case 'set_keyspace':
      t.equal(response.keyspace, body.keyspace)
      return
    case 'schema_change':
      if (body.trailingBytes === undefined) t.same(response.change, schemaChange(body))
      return
    case 'event':
      if (body.trailingBytes === undefined) t.same(response.event, serverEvent(body))
      return
    case 'supported':
      t.same(Object.fromEntries(response.options), body.options)
      return
    case 'authenticate':
      t.equal(response.className, body.authenticator)
      return
    case 'auth_success':
      t.equal(response.token, body.token)
      return
  }
}

function encodeGoldenRequest(encoder: Encoder, message: GoldenMessage): void {
  const { header, body } = message
  const payload = body.customPayload as Record<string, string | null> | undefined
  const explicit = (body.flags as string[] | undefined)?.includes('SERIAL_CONSISTENCY')
  encodeRequest(encoder, header.version, header.stream, request(header.opcode, body, header.version), {
    tracing: header.flags.includes('TRACING'),
    headerFlags: header.flags.includes('USE_BETA') ? HeaderFlag.USE_BETA : 0,
    parameterFlags: explicit ? QueryFlag.SERIAL_CONSISTENCY : 0,
    ...(payload && {
      customPayload: new Map(Object.entries(payload).map(([key, hex]) => [key, hex === null ? null : hexBuffer(hex)])),
    }),
  })
}

/** False: the recording does not have it all. */
function encodeGoldenResponse(encoder: Encoder, message: GoldenMessage): boolean {
  const { header, body } = message
  const { version, stream } = header
  const extras = {
    tracingId: body.tracingId === undefined ? null : uuidBytes(body.tracingId),
    warnings: (body.warnings as string[]) ?? null,
  }
  switch (header.opcode) {
    case 'READY':
      encodeReady(encoder, version, stream)
      return true
    case 'SUPPORTED':
      encodeSupported(encoder, version, stream, new Map(Object.entries(body.options as Record<string, string[]>)))
      return true
    case 'AUTHENTICATE':
      encodeAuthenticate(encoder, version, stream, body.authenticator as string)
      return true
    case 'AUTH_SUCCESS':
      encodeAuthSuccess(encoder, version, stream, body.token as null)
      return true
    case 'ERROR':
      encodeError(encoder, version, stream, requestError(body), extras)
      return true
    case 'EVENT':
      encodeEvent(encoder, version, serverEvent(body))
      return true
  }
  switch (body.kind) {
    case 'VOID':
      encodeVoid(encoder, version, stream, extras)
      return true
    case 'SET_KEYSPACE':
      encodeSetKeyspace(encoder, version, stream, body.keyspace as string, extras)
      return true
    case 'SCHEMA_CHANGE':
      encodeSchemaChange(encoder, version, stream, schemaChange(body), extras)
      return true
    case 'PREPARED': {
      const variables = body.variables as GoldenMetadata
      const result = body.resultMetadata as GoldenMetadata
      const prepared = {
        id: hexBuffer(body.id),
        variables: columns(variables),
        partitionKeyIndexes: variables.pkIndices ?? [],
        resultMetadata:
          result.columnCount === 0 ? null : { columns: columns(result), id: hexBuffer(body.resultMetadataId ?? '') },
      }
      encodePrepared(encoder, version, stream, prepared, cache, extras)
      return true
    }
    case 'ROWS': {
      const metadata = body.metadata as GoldenMetadata
      const bytes = rowBytes(body.cells as (string | null)[][])
      if (bytes === null) return false
      let form: MetadataForm = 'full'
      if (metadata.flags.includes('NO_METADATA')) form = 'skipped'
      if (metadata.flags.includes('METADATA_CHANGED')) form = 'changed'
      const rows = {
        metadata: { columns: columns(metadata), id: hexBuffer(metadata.newMetadataId ?? '') },
        rowCount: body.rowCount as number,
        rowBytes: bytes,
        pagingState: metadata.pagingState === undefined ? null : hexBuffer(metadata.pagingState),
      }
      encodeRows(encoder, version, stream, rows, form, cache, extras)
      return true
    }
  }
  throw new Error(`nothing encodes ${header.opcode} ${String(body.kind)}`)
}

/** The envelope as it is without compression. */
function plainEnvelope(message: GoldenMessage): Buffer {
  const envelope = hexBuffer(message.envelope ?? message.wire)
  if (message.uncompressedBody === undefined) return envelope
  const body = hexBuffer(message.uncompressedBody)
  const header = Buffer.from(envelope.subarray(0, 9))
  header[1]! &= ~HeaderFlag.COMPRESSED
  header.writeInt32BE(body.length, 5)
  return Buffer.concat([header, body])
}

/** A request to a version that we do not speak, or the answer in one that has another header. */
function isForeign(message: GoldenMessage): boolean {
  return message.header.version < 3 || message.header.version > 6
}

/** Broken on purpose: a wrong sum, an opcode that is no request, a version switched or without its flag. */
function isBroken(golden: GoldenCase, message: GoldenMessage): boolean {
  if (message.from === 'server') return false
  return /crc|-opcode|response-opcode|short-body|version-v6|not-cql/.test(golden.name)
}

for (const golden of goldenCases()) {
  t.test(golden.name, (t) => {
    for (const message of framesOf(golden)) {
      if (isForeign(message) || isBroken(golden, message)) continue
      const envelope = cutOut(golden, message)
      const { header } = message
      t.equal(envelope.version, header.version)
      t.equal(envelope.isResponse, header.response)
      t.same(flagNames(envelope.flags), header.flags)
      t.equal(opcodeName(envelope.opcode), header.opcode)
      if (/error-v.-register|error-v3-custom/.test(golden.name) && !header.response) continue
      const isShortened =
        JSON.stringify(message.body).includes('bytes i * 7') || /the text 0123/.test(JSON.stringify(message.body))
      if (header.response) checkDecodedResponse(t, message, envelope)
      else if (!isShortened) checkDecodedRequest(t, message, envelope)
      if (isShortened || (message.envelope === undefined && message.frames !== undefined)) continue

      const encoder = new Encoder()
      if (header.response) encodeGoldenResponse(encoder, message)
      else encodeGoldenRequest(encoder, message)
      let expected = plainEnvelope(message)
      if (message.body.trailingBytes !== undefined && !header.response) expected = expected.subarray(0, -3)
      const encoded = encoder.take()
      if (message.body.trailingBytes === undefined || header.response)
        t.equal(encoded.toString('hex'), expected.toString('hex'))

      const isAlone = message.frames?.length === 1 && message.frames[0]!.payloadLength === expected.length
      if (!isAlone || golden.compression !== null || message.body.trailingBytes !== undefined) continue
      encoder.useSegments(null)
      if (header.response) encodeGoldenResponse(encoder, message)
      else encodeGoldenRequest(encoder, message)
      t.equal(encoder.take().toString('hex'), message.wire)
    }
    t.end()
  })
}

t.test('bodies that end early are refused in the words of Cassandra', (t) => {
  for (const golden of goldenCases().filter(({ name }) => name.endsWith('short-body'))) {
    const [sent, answered] = framesOf(golden)
    const envelope = cutOut(golden, sent!)
    const reader = new ByteReader(envelope.buffer, envelope.start, envelope.end)
    t.throws(() => readRequest(reader, envelope.opcode, envelope.version), {
      code: 'PROTOCOL_ERROR',
      message: answered!.body.message as string,
    })
  }
  t.end()
})

t.test('what is broken on purpose is refused in the words of Cassandra', (t) => {
  for (const golden of goldenCases().filter(({ name }) => /crc|version-|not-cql/.test(name) && !/switch/.test(name))) {
    const [sent, answered] = golden.name === 'error-not-cql' ? [null, framesOf(golden)[0]] : framesOf(golden)
    const decoder = sent === null ? new Decoder(BODY_BYTES_MAX) : decoderFor(golden, sent!)
    decoder.push(sent === null ? Buffer.from('GET / HTTP/1.1\r\n') : hexBuffer(sent!.wire))
    const { message } = answered!.body as { message: string }
    try {
      decoder.next()
      t.fail(`${golden.name} was taken`)
    } catch (error) {
      t.ok(message.endsWith((error as Error).message), `${message} / ${(error as Error).message}`)
      t.equal((error as { stream: number }).stream, answered!.header.stream)
      t.equal((error as { fatal: boolean }).fatal, golden.name.includes('crc'))
      if (!golden.name.includes('crc')) t.equal(decoder.next(), false)
    }
  }
  t.end()
})

t.test('a decoder fed every split of every frame', (t) => {
  for (const golden of goldenCases()) {
    for (const message of framesOf(golden)) {
      if (isForeign(message) || /crc|version-v6|not-cql/.test(golden.name)) continue
      const wire = hexBuffer(message.wire)
      const whole = summaries(decoderFor(golden, message), [wire])
      // Long ones at a few hundred places.
      const step = wire.length > 4096 ? Math.ceil(wire.length / 300) : 1
      let wrong = 0
      for (let at = 1; at < wire.length; at += step) {
        const parts = [wire.subarray(0, at), wire.subarray(at)]
        if (summaries(decoderFor(golden, message), parts) !== whole) wrong++
      }
      t.equal(wrong, 0, golden.name)
      const single = wire.length > 4096 ? 257 : 1
      const pieces: Buffer[] = []
      for (let at = 0; at < wire.length; at += single) pieces.push(wire.subarray(at, at + single))
      t.equal(summaries(decoderFor(golden, message), pieces), whole)
      t.equal(
        summaries(decoderFor(golden, message), [Buffer.concat([wire, wire]).subarray(0, -1), wire.subarray(-1)]),
        whole + whole,
      )
    }
  }
  t.end()
})

function summaries(decoder: Decoder, parts: Buffer[]): string {
  let text = ''
  for (const part of parts) {
    decoder.push(Buffer.from(part))
    while (decoder.next()) {
      const { version, flags, stream, opcode } = decoder.envelope
      const body = decoder.envelope.body()
      text += `${version} ${flags} ${stream} ${opcode} ${body.length} ${body.toString('latin1')}\n`
    }
  }
  return text
}
