/**
 * How a connection between nodes begins: who opened it says HELLO, the other WELCOME or why not. docs/formats.md, "Between nodes".
 * Always: no more than GREETING_BYTES_MAX are read from somebody who has not said who he is.
 */
import { crc32 } from 'node:zlib'
import { ByteReader, BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { isEndpoint } from './endpoint.ts'
import type { Lane } from './messenger.ts'
import { LANES } from './messenger.ts'
import { getUint32, WIRE_VERSION, WireError } from './wire.ts'

/** 'PLYX'. */
export const MAGIC = 0x504c5958
const GREETING_BYTES_MAX = 1024
/** Magic, length of the body. */
export const GREETING_HEAD_BYTES = 6
const CHECKSUM_BYTES = 4
const TEXT_BYTES_MAX = 255

export interface Hello {
  readonly versionMin: number
  readonly versionMax: number
  readonly lane: Lane
  readonly clusterName: string
  readonly hostId: string
  /** Of this run of the process: another number after each start. */
  readonly incarnation: string
  readonly endpoint: string
  /** Whom it takes the other for. */
  readonly to: string
}

export const WelcomeStatus = { OK: 0, OTHER_CLUSTER: 1, OTHER_VERSION: 2, OTHER_ENDPOINT: 3, BUSY: 4 } as const

export interface Welcome {
  readonly status: number
  readonly version: number
  readonly clusterName: string
  readonly hostId: string
  readonly incarnation: string
}

/** Eight bytes of chance, in hex. */
export const INCARNATION_BYTES = 8

export function encodeHello(hello: Hello): Buffer {
  return encodeGreeting((writer) => {
    writer.uint8(hello.versionMin)
    writer.uint8(hello.versionMax)
    writer.uint8(LANES.indexOf(hello.lane))
    writeText(writer, hello.clusterName)
    writer.bytes(uuidBytes(hello.hostId))
    writer.bytes(Buffer.from(hello.incarnation, 'hex'))
    writeText(writer, hello.endpoint)
    writeText(writer, hello.to)
  })
}

export function decodeHello(body: Buffer): Hello {
  return decodeGreeting(body, (reader) => {
    const versionMin = reader.uint8()
    const versionMax = reader.uint8()
    const lane = LANES[reader.uint8()]
    if (lane === undefined) throw new WireError('an unknown lane')
    const clusterName = readText(reader)
    const hostId = uuidText(reader.view(16))
    const incarnation = reader.view(INCARNATION_BYTES).toString('hex')
    const endpoint = readText(reader)
    if (!isEndpoint(endpoint)) throw new WireError('a greeting without an endpoint')
    return { versionMin, versionMax, lane, clusterName, hostId, incarnation, endpoint, to: readText(reader) }
  })
}

export function encodeWelcome(welcome: Welcome): Buffer {
  return encodeGreeting((writer) => {
    writer.uint8(welcome.status)
    writer.uint8(welcome.version)
    writeText(writer, welcome.clusterName)
    writer.bytes(uuidBytes(welcome.hostId))
    writer.bytes(Buffer.from(welcome.incarnation, 'hex'))
  })
}

export function decodeWelcome(body: Buffer): Welcome {
  return decodeGreeting(body, (reader) => {
    const status = reader.uint8()
    const version = reader.uint8()
    const clusterName = readText(reader)
    const hostId = uuidText(reader.view(16))
    return { status, version, clusterName, hostId, incarnation: reader.view(INCARNATION_BYTES).toString('hex') }
  })
}

/** The length of what follows the head, checksum included. Throws WireError when this is no greeting. */
export function readGreetingHead(source: Buffer, at: number): number {
  if (getUint32(source, at) !== MAGIC) throw new WireError('these are no words of ours')
  const length = (source[at + 4]! << 8) | source[at + 5]!
  if (length <= CHECKSUM_BYTES || length > GREETING_BYTES_MAX) throw new WireError(`a greeting of ${length} bytes`)
  return length
}

/** The greatest version that both speak; 0: there is none. */
export function chooseVersion({ versionMin, versionMax }: Hello): number {
  return versionMin <= WIRE_VERSION && versionMax >= WIRE_VERSION ? WIRE_VERSION : 0
}

function encodeGreeting(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter()
  writer.int32(MAGIC)
  writer.uint16(0)
  write(writer)
  const length = writer.length - GREETING_HEAD_BYTES + CHECKSUM_BYTES
  writer.buffer[4] = length >>> 8
  writer.buffer[5] = length
  writer.int32(crc32(writer.view()))
  return writer.copy()
}

/** `body` is what follows the head. */
function decodeGreeting<T>(body: Buffer, read: (reader: ByteReader) => T): T {
  const end = body.length - CHECKSUM_BYTES
  const head = Buffer.alloc(GREETING_HEAD_BYTES)
  head.writeUInt32BE(MAGIC)
  head.writeUInt16BE(body.length, 4)
  if (getUint32(body, end) !== crc32(body.subarray(0, end), crc32(head)))
    throw new WireError('checksum of a greeting does not match')
  const reader = new ByteReader(body, 0, end)
  try {
    const greeting = read(reader)
    // What a later version adds at the end is passed over.
    return greeting
  } catch (cause) {
    if (cause instanceof BytesError) throw new WireError('a greeting that ends early')
    throw cause
  }
}

function writeText(writer: ByteWriter, text: string): void {
  const bytes = Buffer.from(text)
  if (bytes.length > TEXT_BYTES_MAX) throw new Error(`'${text}' is longer than ${TEXT_BYTES_MAX} bytes`)
  writer.uint8(bytes.length)
  writer.bytes(bytes)
}

function readText(reader: ByteReader): string {
  return reader.utf8(reader.uint8())
}
