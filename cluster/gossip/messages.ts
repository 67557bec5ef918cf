/**
 * Gossip as bytes. All messages begin with the format and the cluster that they are of; then
 *   syn: digests    ack: differences, digests that are wanted    ack2, shutdown: differences    echo: nothing; the answer one digest
 *   hello: nothing; the answer the wall clock (µs since 1970, f64), differences (its own first), digests of those who are up
 * A list is a varuint count and its items. A digest: host id 16 bytes, generation u32, version varuint. A difference: host id, generation,
 * since varuint, heartbeat varuint, and values: name u8 length + UTF-8, version varuint, value u16 length + UTF-8.
 * Always: what a reader takes is bounded by the bytes that there are; damaged bytes are a BytesError.
 */
import { ByteReader, BytesError, ByteWriter } from '../../lib/base/bytes.ts'
import { parseUuid, uuidText } from '../../lib/base/uuid.ts'
import type { GossipValue } from './liveness.ts'
import type { Difference, Digest } from './state.ts'

/** 0 is left for a format that would have to be told apart otherwise. */
const FORMAT = 1

/** Longer ones a node does not tell of itself, nor do messages have room for them. */
export const VALUE_BYTES_MAX = 16 * 1024
export const VALUES_MAX = 64

/** Which cluster a node is of. Two clusters may have one name; the id, made when a cluster is founded, is nobody else's. */
export interface ClusterName {
  readonly name: string
  /** UUID text; null: not known yet. */
  readonly id: string | null
}

export class GossipWriter {
  readonly #writer = new ByteWriter(8 * 1024)

  begin(cluster: ClusterName): this {
    const writer = this.#writer
    writer.reset()
    writer.uint8(FORMAT)
    text16(writer, cluster.name)
    const id = cluster.id === null ? null : parseUuid(cluster.id)
    writer.uint8(id ? id.length : 0)
    if (id) writer.bytes(id)
    return this
  }

  digests(digests: readonly Digest[]): this {
    this.#writer.varuint(digests.length)
    for (const digest of digests) this.digest(digest)
    return this
  }

  digest({ key, generation, version }: Digest): this {
    const writer = this.#writer
    writeKey(writer, key)
    writer.int32(generation)
    writer.varuint(version)
    return this
  }

  differences(differences: readonly Difference[]): this {
    const writer = this.#writer
    writer.varuint(differences.length)
    for (const { key, generation, since, heartbeat, values } of differences) {
      writeKey(writer, key)
      writer.int32(generation)
      writer.varuint(since)
      writer.varuint(heartbeat)
      writer.varuint(values.size)
      for (const [name, { value, version }] of values) {
        text8(writer, name)
        writer.varuint(version)
        text16(writer, value)
      }
    }
    return this
  }

  micros(micros: number): this {
    this.#writer.float64(micros)
    return this
  }

  /** Valid until the next begin: the messenger copies what it is handed. */
  end(): Buffer {
    return this.#writer.view()
  }
}

export class GossipReader {
  readonly #reader: ByteReader
  readonly cluster: ClusterName

  constructor(payload: Buffer) {
    const reader = new ByteReader(payload)
    const format = reader.uint8()
    if (format !== FORMAT) throw new BytesError(`gossip of format ${format}`)
    const name = reader.utf8(reader.uint16())
    const idLength = reader.uint8()
    if (idLength !== 0 && idLength !== 16) throw new BytesError(`cluster id of ${idLength} bytes`)
    this.#reader = reader
    this.cluster = { name, id: idLength === 0 ? null : uuidText(reader.view(16)) }
  }

  digests(): Digest[] {
    const count = this.#count(21)
    const digests = new Array<Digest>(count)
    for (let i = 0; i < count; i++) digests[i] = this.digest()
    return digests
  }

  digest(): Digest {
    const reader = this.#reader
    return { key: readKey(reader), generation: reader.uint32(), version: reader.varuint() }
  }

  differences(): Difference[] {
    const count = this.#count(23)
    const differences = new Array<Difference>(count)
    for (let i = 0; i < count; i++) differences[i] = this.#difference()
    return differences
  }

  #difference(): Difference {
    const reader = this.#reader
    const key = readKey(reader)
    const generation = reader.uint32()
    const since = reader.varuint()
    const heartbeat = reader.varuint()
    const count = this.#count(4)
    if (count > VALUES_MAX) throw new BytesError(`${count} values of one node`)
    if (count === 0) return { key, generation, since, heartbeat, values: NONE }
    const values = new Map<string, GossipValue>()
    for (let i = 0; i < count; i++) {
      const name = reader.utf8(reader.uint8())
      const version = reader.varuint()
      const length = reader.uint16()
      if (length > VALUE_BYTES_MAX) throw new BytesError(`a value of ${length} bytes`)
      values.set(name, { value: reader.utf8(length), version })
    }
    return { key, generation, since, heartbeat, values }
  }

  micros(): number {
    return this.#reader.float64()
  }

  /** Of items that take so many bytes at least: a count that the bytes cannot hold is damage, before anything is made for it. */
  #count(bytesMin: number): number {
    const count = this.#reader.varuint()
    if (count * bytesMin > this.#reader.remaining())
      throw new BytesError(`${count} items in ${this.#reader.remaining()} bytes`)
    return count
  }
}

const NONE: ReadonlyMap<string, GossipValue> = new Map()

function writeKey(writer: ByteWriter, key: string): void {
  const at = writer.reserve(16)
  writer.buffer.write(key, at, 16, 'latin1')
}

function readKey(reader: ByteReader): string {
  const at = reader.position
  reader.skip(16)
  return reader.buffer.toString('latin1', at, at + 16)
}

function text8(writer: ByteWriter, text: string): void {
  const bytes = Buffer.from(text)
  writer.uint8(bytes.length)
  writer.bytes(bytes)
}

function text16(writer: ByteWriter, text: string): void {
  const bytes = Buffer.from(text)
  writer.uint16(bytes.length)
  writer.bytes(bytes)
}
