/**
 * The few habits of the JVM that show in Cassandra's answers: the order of a HashMap's keys, and how a double is written.
 * Source: java.util.HashMap (spread hash, tables of a power of two, three quarters full), Double.toString.
 */

function stringHash(text: string): number {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return hash ^ (hash >>> 16)
}

/** Hash of a name as Cassandra's column identifiers have it: that of a ByteBuffer of its UTF-8. */
export function identifierHash(name: string): number {
  const bytes = Buffer.from(name)
  let hash = 1
  for (let i = bytes.length - 1; i >= 0; i--) hash = (Math.imul(hash, 31) + bytes.readInt8(i)) | 0
  return hash ^ (hash >>> 16)
}

/** The keys in the order in which a HashMap with room for them would give them; equal buckets keep their order. */
export function hashMapOrder(keys: Iterable<string>, hash: (key: string) => number = stringHash): string[] {
  const list = [...keys]
  let capacity = 16
  while (list.length > capacity * 0.75) capacity *= 2
  const bucket = (key: string) => hash(key) & (capacity - 1)
  return list.sort((a, b) => bucket(a) - bucket(b))
}

/** `1.0`, `1.0E-7`, `NaN`: a double as Java prints it. */
export function javaDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const magnitude = Math.abs(value)
  if (magnitude >= 1e-3 && magnitude < 1e7) {
    const text = value.toString()
    return text.includes('.') ? text : `${text}.0`
  }
  const [mantissa, exponent] = value.toExponential().split('e') as [string, string]
  return `${mantissa.includes('.') ? mantissa : `${mantissa}.0`}E${Number(exponent)}`
}

/** Integer.parseInt: null where Java would throw. */
export function javaInt(text: string): number | null {
  if (!/^[+-]?[0-9]{1,10}$/.test(text)) return null
  const value = Number(text)
  return value >= -2147483648 && value <= 2147483647 ? value : null
}

/** Double.parseDouble, without its hexadecimal forms: null where Java would throw. */
export function javaParseDouble(text: string): number | null {
  const trimmed = text.trim()
  if (/^[+-]?NaN$/.test(trimmed)) return Number.NaN
  if (/^[+-]?Infinity$/.test(trimmed)) return trimmed.startsWith('-') ? -Infinity : Infinity
  const match = /^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[dDfF]?$/.exec(trimmed)
  return match ? Number(match[1]) : null
}
