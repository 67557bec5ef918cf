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

/** The keys in the order in which a HashMap would give them that grew with them; equal buckets keep their order. */
export function hashMapOrder(
  keys: Iterable<string>,
  hash: (key: string) => number = stringHash,
  initialCapacity = 16,
): string[] {
  const list = [...keys]
  let capacity = initialCapacity
  while (list.length > capacity * 0.75) capacity *= 2
  return list.sort((a, b) => (hash(a) & (capacity - 1)) - (hash(b) & (capacity - 1)))
}

/** The keys in the order in which a HashMap that was made as a copy of another gives them: its table is no larger than it must be. */
export function copiedHashMapOrder(keys: Iterable<string>): string[] {
  const list = hashMapOrder(keys)
  const mask = 2 ** Math.ceil(Math.log2(list.length / 0.75 + 1)) - 1
  return list.sort((a, b) => (stringHash(a) & mask) - (stringHash(b) & mask))
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

/** Long.parseLong, as a number, which may be rounded: null where Java would throw. */
export function javaLong(text: string): number | null {
  if (!/^[+-]?[0-9]+$/.test(text)) return null
  const value = BigInt(text.replace('+', ''))
  return BigInt.asIntN(64, value) === value ? Number(value) : null
}

/** Double.parseDouble: null where Java would throw. */
export function javaParseDouble(text: string): number | null {
  const trimmed = text.trim()
  if (/^[+-]?NaN$/.test(trimmed)) return Number.NaN
  if (/^[+-]?Infinity$/.test(trimmed)) return trimmed.startsWith('-') ? -Infinity : Infinity
  const match = /^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[dDfF]?$/.exec(trimmed)
  return match ? Number(match[1]) : parseHexadecimal(trimmed)
}

/** `0x1.8p3`: 1.5 × 2³. */
function parseHexadecimal(text: string): number | null {
  const match = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?[0-9]+)[dDfF]?$/.exec(text)
  if (!match) return null
  const [, sign, whole, fraction, exponent] = match as unknown as [string, string, string, string, string]
  if (whole === '' && fraction === '') return null
  const digits = Number.parseInt(whole + fraction, 16)
  return (sign === '-' ? -1 : 1) * digits * 2 ** (Number(exponent) - 4 * fraction.length)
}
