/** Serialised collections, tuples and user types taken apart. Source: native_protocol_v5.spec §6. */
import { ByteReader } from '../base/bytes.ts'

/** The elements of a valid list or set, or the keys and values of a valid map in turn: views of its bytes. */
export function splitCollection(bytes: Buffer, perEntry: 1 | 2): Buffer[] {
  if (bytes.length === 0) return []
  const reader = new ByteReader(bytes)
  const count = reader.int32() * perEntry
  const parts = new Array<Buffer>(count)
  for (let i = 0; i < count; i++) parts[i] = reader.view(reader.int32())
  return parts
}

/** The fields of a valid tuple or user type, as many as are there. */
export function splitFields(bytes: Buffer): (Buffer | null)[] {
  const reader = new ByteReader(bytes)
  const fields: (Buffer | null)[] = []
  while (reader.remaining() > 0) {
    const length = reader.int32()
    fields.push(length < 0 ? null : reader.view(length))
  }
  return fields
}
