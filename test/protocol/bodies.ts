/** What the recorded frames do not show: errors as older versions are told of them, types that they have no code for, lies about lengths. */
import t from 'tap'
import { ByteReader, ByteWriter } from '../../lib/base/bytes.ts'
import { ChunkQueue } from '../../lib/base/chunks.ts'
import { type ErrorCodeName, type ErrorFields, RequestError } from '../../lib/base/errors.ts'
import type { CqlType } from '../../lib/types/type.ts'
import { UNSET } from '../../lib/types/unset.ts'
import { loadCompression } from '../../protocol/compression.ts'
import { Decoder, FrameError } from '../../protocol/decoder.ts'
import { Encoder } from '../../protocol/encoder.ts'
import { readError, writeError } from '../../protocol/errors.ts'
import { MetadataCache, readMetadata, writeResultMetadata, writeVariables } from '../../protocol/metadata.ts'
import { readString, writeString } from '../../protocol/notation.ts'
import { encodeRequest, plainParameters, type Request, readRequest, type Value } from '../../protocol/requests.ts'
import { payloadCrc32, putSegmentHeader, putSegmentTrailer } from '../../protocol/segment.ts'
import { readType, writeType } from '../../protocol/types.ts'

function told(version: number, code: ErrorCodeName, message: string, fields: ErrorFields): RequestError {
  const writer = new ByteWriter()
  writeError(writer, new RequestError(code, message, fields), version)
  const reader = new ByteReader(writer.view())
  const error = readError(reader, version)
  if (reader.remaining() !== 0) throw new Error(`${reader.remaining()} bytes left`)
  return error
}

t.test('errors that a version does not have are told as the nearest one', (t) => {
  const failures = [{ address: Buffer.from([127, 0, 0, 2]), reason: 1 }]
  const counts = { consistency: 6, received: 1, blockFor: 2 }
  const timedOut = 'Operation timed out - received only 1 responses.'

  const read = { ...counts, failures, dataPresent: true }
  t.match(told(3, 'READ_FAILURE', 'm', read), {
    code: 'READ_TIMEOUT',
    message: timedOut,
    fields: { dataPresent: true },
  })
  t.match(told(4, 'READ_FAILURE', 'm', read), { code: 'READ_FAILURE', message: 'm', fields: { failures: [] } })
  t.match(told(5, 'READ_FAILURE', 'm', read), { code: 'READ_FAILURE', fields: { failures, dataPresent: true } })

  const write = { ...counts, failures, writeType: 'BATCH' }
  t.match(told(3, 'WRITE_FAILURE', 'm', write), {
    code: 'WRITE_TIMEOUT',
    message: timedOut,
    fields: { writeType: 'BATCH' },
  })
  t.match(told(4, 'WRITE_FAILURE', 'm', write), { code: 'WRITE_FAILURE', fields: { writeType: 'BATCH' } })
  t.match(told(5, 'WRITE_FAILURE', 'm', write), { code: 'WRITE_FAILURE', fields: { failures, writeType: 'BATCH' } })

  const cas = { ...counts, writeType: 'CAS', contentions: 3 }
  t.match(told(4, 'WRITE_TIMEOUT', 'm', cas), {
    code: 'WRITE_TIMEOUT',
    message: timedOut,
    fields: { writeType: 'CAS' },
  })
  t.match(told(5, 'WRITE_TIMEOUT', 'm', cas), { code: 'WRITE_TIMEOUT', message: 'm', fields: { contentions: 3 } })
  for (const version of [3, 4])
    t.match(told(version, 'CAS_WRITE_UNKNOWN', 'm', counts), {
      code: 'WRITE_TIMEOUT',
      message: timedOut,
      fields: { writeType: 'CAS', received: 1 },
    })
  t.match(told(5, 'CAS_WRITE_UNKNOWN', 'm', counts), { code: 'CAS_WRITE_UNKNOWN', message: 'm', fields: counts })

  const call = { keyspace: 'ks', name: 'f', argumentTypes: ['int'] }
  t.match(told(3, 'FUNCTION_FAILURE', 'm', call), { code: 'INVALID', message: 'ERROR FUNCTION_FAILURE: m' })
  t.match(told(3, 'CDC_WRITE_FAILURE', 'm', {}), { code: 'INVALID', message: 'ERROR CDC_WRITE_FAILURE: m' })
  t.match(told(4, 'CDC_WRITE_FAILURE', 'm', {}), { code: 'CDC_WRITE_FAILURE', message: 'm' })
  for (const code of ['SERVER_ERROR', 'IS_BOOTSTRAPPING', 'OVERLOADED', 'TRUNCATE_ERROR', 'CONFIG_ERROR'] as const)
    for (const version of [3, 4, 5]) t.match(told(version, code, 'm', {}), { code, message: 'm', fields: {} })
  t.end()
})

const native = (name: string): CqlType => ({ kind: 'native', name }) as CqlType
const MARSHAL = 'org.apache.cassandra.db.marshal.'

t.test('types without a code are custom ones, inside others too', (t) => {
  const sent = (type: CqlType, version: number): CqlType => {
    const writer = new ByteWriter()
    writeType(writer, type, version)
    return readType(new ByteReader(writer.view()))
  }
  const custom = (className: string): CqlType => ({ kind: 'custom', className: MARSHAL + className })
  for (const [name, className, since] of [
    ['date', 'SimpleDateType', 4],
    ['time', 'TimeType', 4],
    ['smallint', 'ShortType', 4],
    ['tinyint', 'ByteType', 4],
    ['duration', 'DurationType', 5],
  ] as const)
    for (const version of [3, 4, 5]) {
      const expected = version >= since ? native(name) : custom(className)
      t.same(sent(native(name), version), expected)
      t.same(
        sent(
          { kind: 'map', key: native(name), value: { kind: 'tuple', elements: [native(name)] }, frozen: true },
          version,
        ),
        {
          kind: 'map',
          key: expected,
          value: { kind: 'tuple', elements: [expected] },
          frozen: false,
        },
      )
    }
  t.same(
    sent({ kind: 'vector', element: native('float'), dimension: 3 }, 5),
    custom(`VectorType(${MARSHAL}FloatType , 3)`),
  )
  const nested = new ByteWriter()
  for (let depth = 0; depth < 1000; depth++) nested.uint16(0x20)
  t.throws(() => readType(new ByteReader(nested.view())), { code: 'PROTOCOL_ERROR' })
  t.end()
})

t.test('columns of several tables carry their own, and have no partition key in common', (t) => {
  const columns = [
    { keyspace: 'a', table: 't', name: 'x', type: native('int') },
    { keyspace: 'a', table: 'u', name: 'y', type: native('text') },
  ]
  const writer = new ByteWriter()
  writeVariables(writer, columns, [0, 1], 4)
  t.match(readMetadata(new ByteReader(writer.view()), 4, true), { columns, partitionKeyIndexes: [] })
  writer.reset()
  const metadata = { columns, id: Buffer.alloc(16) }
  writeResultMetadata(writer, new MetadataCache(), metadata, 5, 'full', Buffer.from('next'))
  t.match(readMetadata(new ByteReader(writer.view()), 5, false), { columns, pagingState: Buffer.from('next') })
  t.end()
})

t.test('strings: too long ones are cut between characters, wrong ones refused', (t) => {
  const writer = new ByteWriter()
  for (const [text, length] of [
    ['x'.repeat(65_535), 65_535],
    ['x'.repeat(65_536), 65_535],
    ['é'.repeat(40_000), 32_767],
    ['🙂'.repeat(20_000), 2 * 16_383],
  ] as const) {
    writer.reset()
    writeString(writer, text)
    writer.uint8(7)
    const reader = new ByteReader(writer.view())
    t.equal(readString(reader), text.slice(0, length))
    t.equal(reader.uint8(), 7)
  }
  t.throws(() => readString(new ByteReader(Buffer.from([0, 3, 0x61, 0xff, 0x62]))), {
    code: 'PROTOCOL_ERROR',
    message: "Cannot decode string as UTF8: 'ff62'; java.nio.charset.MalformedInputException: Input length = 1",
  })
  t.equal(readString(new ByteReader(Buffer.from('\0\x03\ufffd'))), '\ufffd')
  t.end()
})

t.test('requests: flags and values of each version', (t) => {
  for (const version of [3, 4, 5]) {
    const parameters = {
      ...plainParameters(version, 10),
      values: [Buffer.from('v'), null, UNSET] as Value[],
      names: ['a', 'b', 'c'],
      skipMetadata: true,
      pageSize: 5000,
      pagingState: Buffer.from('state'),
      serialConsistency: 9,
      timestamp: { high: -1, low: -2_147_483_648 },
      keyspace: version >= 5 ? 'ks' : null,
      nowSeconds: version >= 5 ? 4_000_000_000 : null,
    }
    const requests: Request[] = [
      { kind: 'query', query: 'SELECT', parameters },
      { kind: 'execute', id: '\xff'.repeat(16), resultMetadataId: version >= 5 ? Buffer.alloc(16) : null, parameters },
      { kind: 'prepare', query: 'X', keyspace: version >= 5 ? 'ks' : null },
    ]
    for (const request of requests) {
      const encoder = new Encoder()
      encodeRequest(encoder, version, 1, request)
      const decoder = new Decoder(1000)
      decoder.push(encoder.take())
      t.ok(decoder.next())
      const { buffer, start, end, opcode } = decoder.envelope
      const reader = new ByteReader(buffer, start, end)
      const decoded = readRequest(reader, opcode, version)
      t.equal(reader.remaining(), 0)
      const values = version === 3 ? [Buffer.from('v'), null, null] : parameters.values
      t.same(decoded, 'parameters' in request ? { ...request, parameters: { ...parameters, values } } : request)
    }
  }
  t.end()
})

t.test('compression: lengths that lie', async (t) => {
  const lz4 = await loadCompression('lz4')
  const snappy = await loadCompression('snappy')
  const plain = Buffer.alloc(10_000, 'abc')
  for (const compression of [lz4, snappy]) {
    const packed = Buffer.from(compression.compressBody(plain))
    t.same(compression.decompressBody(packed, 10_000), plain)
    t.throws(() => compression.decompressBody(packed, 9_999), { code: 'PROTOCOL_ERROR' })
    t.throws(() => compression.decompressBody(packed.subarray(0, 3), 10_000), { code: 'PROTOCOL_ERROR' })
    t.throws(() => compression.decompressBody(packed.subarray(0, -3), 10_000), { code: 'PROTOCOL_ERROR' })
    t.throws(() => compression.decompressBody(Buffer.alloc(0), 10_000), { code: 'PROTOCOL_ERROR' })
    t.same(compression.decompressBody(Buffer.from(compression.compressBody(Buffer.alloc(0))), 10), Buffer.alloc(0))
  }
  const packed = Buffer.from(lz4.compressBody(plain))
  for (const claimed of [9_999, 10_001, 1_000_000, 0]) {
    packed.writeInt32BE(claimed, 0)
    if (claimed > 0) t.throws(() => lz4.decompressBody(packed, 2_000_000), { code: 'PROTOCOL_ERROR' }, `${claimed}`)
  }
  packed.writeInt32BE(-1, 0)
  t.throws(() => lz4.decompressBody(packed, 2_000_000), { code: 'PROTOCOL_ERROR' })
  const literal = Buffer.from([0x10, 0xfc, 0xfb, 0xff, 0xff, 0xff, 1, 2, 3])
  t.throws(() => snappy.decompressBody(literal, 100), { code: 'PROTOCOL_ERROR' }, 'a literal of nearly 4 GiB')
  t.throws(() => snappy.decompressBody(Buffer.from([4, 0x0c, 1, 2, 3, 4, 0x06, 9, 0]), 100), { code: 'PROTOCOL_ERROR' })
  t.throws(() => snappy.decompressBody(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0]), 2_000_000), {
    code: 'PROTOCOL_ERROR',
  })
})

t.test('segments: an envelope cut off in a self-contained one, a length that lies', async (t) => {
  const segment = (payload: Buffer, selfContained: boolean): Buffer => {
    const bytes = Buffer.alloc(6 + payload.length + 4)
    putSegmentHeader(bytes, 0, payload.length, null, selfContained)
    bytes.set(payload, 6)
    putSegmentTrailer(bytes, 6 + payload.length, payload)
    return bytes
  }
  const whole = Buffer.from([5, 0, 0, 1, 5, 0, 0, 0, 0])
  const decoder = new Decoder(100)
  decoder.useSegments(null)
  decoder.push(segment(whole.subarray(0, 5), true))
  t.equal(decoder.next(), false)
  decoder.push(segment(whole.subarray(5), false))
  t.throws(() => decoder.next(), FrameError)

  const skipping = new Decoder(100)
  skipping.useSegments(null)
  const large = Buffer.alloc(9 + 200)
  large.set([5, 0, 0, 1, 7])
  large.writeInt32BE(200, 5)
  skipping.push(Buffer.concat([segment(large.subarray(0, 50), false), segment(large.subarray(50), false)]))
  skipping.push(segment(whole, true))
  t.throws(() => skipping.next(), { code: 'INVALID', fatal: false, stream: 1 })
  t.equal(skipping.next(), true)
  t.equal(skipping.envelope.opcode, 5)

  const negative = new Decoder(100)
  negative.useSegments(null)
  negative.push(segment(Buffer.from([5, 0, 0, 1, 5, 0xff, 0xff, 0xff, 0xff]), true))
  t.throws(() => negative.next(), {
    fatal: true,
    message: 'Invalid value for envelope header body length field: -1',
  })

  const lz4 = await loadCompression('lz4')
  const lying = new Decoder(100)
  lying.useSegments(lz4)
  const packed = lz4.compressBlock(Buffer.alloc(5000))
  const bytes = Buffer.alloc(8 + packed.length + 4)
  putSegmentHeader(bytes, 0, packed.length, 4000, true)
  bytes.set(packed, 8)
  putSegmentTrailer(bytes, 8 + packed.length, packed)
  lying.push(bytes)
  t.throws(() => lying.next(), FrameError)
  t.not(payloadCrc32(Buffer.alloc(4)), 0)
})

t.test('chunks: any sizes in, the same bytes out', (t) => {
  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 7) & 0xff))
  for (const size of [1, 3, 1000, 1023, 1024, 5000, 20_000]) {
    const queue = new ChunkQueue()
    let taken = 0
    let pieces = 1
    for (let at = 0; at < bytes.length; at += size) {
      queue.push(bytes.subarray(at, at + size))
      for (;;) {
        const wanted = (pieces * 37) % 3001
        if (pieces % 5 === 0) {
          if (queue.length < wanted) break
          t.equal(queue.skip(wanted), wanted)
        } else {
          if (!queue.take(wanted)) break
          const piece = queue.buffer.subarray(queue.at, queue.at + wanted)
          if (!piece.equals(bytes.subarray(taken, taken + wanted))) t.fail(`piece ${pieces} of chunks of ${size}`)
        }
        taken += wanted
        pieces++
      }
      if (queue.length !== Math.min(at + size, bytes.length) - taken) t.fail(`length with chunks of ${size}`)
    }
    t.ok(pieces > 5)
    queue.clear()
    t.equal(queue.length, 0)
    queue.release()
    queue.push(bytes)
    t.ok(queue.take(10) && queue.buffer[queue.at + 9] === bytes[9])
  }
  t.end()
})
