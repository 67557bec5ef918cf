/** The golden frames: what a client said to Apache Cassandra 5.0.6 and what it answered, with both sides' meaning as recorded. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const FOLDER = join(resolve(dirname(fileURLToPath(import.meta.url)), '../../..'), 'test/golden/frames')

export interface GoldenHeader {
  version: number
  response: boolean
  flags: string[]
  stream: number
  opcode: string
  length: number
}

/** The recorded meaning of a body: its shape depends on the opcode. */
export type GoldenBody = Record<string, unknown>

export interface GoldenMessage {
  from: 'client' | 'server'
  wire: string
  frames?: { selfContained: boolean; payloadLength: number; uncompressedLength?: number }[]
  envelope?: string
  header: GoldenHeader
  body: GoldenBody
  uncompressedBody?: string
  undecodable?: string
  closed?: boolean
}

export interface GoldenCase {
  name: string
  about: string
  version: number
  compression: 'lz4' | 'snappy' | null
  messages: GoldenMessage[]
}

export function goldenCases(): GoldenCase[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as GoldenCase)
}

/** Those with bytes: the others only say whether the connection was closed. */
export function framesOf(golden: GoldenCase): GoldenMessage[] {
  return golden.messages.filter((message) => message.wire !== undefined)
}
