/**
 * The option `compression` of a table: which compressors and settings there are, and what is wrong with others.
 * Source: the answers of Cassandra 5.0.6. `enabled: false` alone means none.
 */
import { configError, RequestError } from '../base/errors.ts'
import { hashMapOrder, javaDouble, javaInt, javaParseDouble } from './java.ts'

const PACKAGE = 'org.apache.cassandra.io.compress.'
const CHUNK_LENGTH_DEFAULT_KB = 16
/** As an int of bytes must hold it. */
const CHUNK_LENGTH_MAX_KB = 2147483647 / 1024

type StringMap = ReadonlyMap<string, string>

/** Compressors by short name, and the settings that each has of its own. */
const COMPRESSORS: ReadonlyMap<string, readonly string[]> = new Map([
  ['LZ4Compressor', ['lz4_compressor_type', 'lz4_high_compressor_level']],
  ['SnappyCompressor', []],
  ['DeflateCompressor', []],
  ['ZstdCompressor', ['compression_level']],
  ['NoopCompressor', []],
])

export const DEFAULT_COMPRESSION: StringMap = new Map([
  ['chunk_length_in_kb', '16'],
  ['class', `${PACKAGE}LZ4Compressor`],
])

const NO_COMPRESSION: StringMap = new Map([['enabled', 'false']])

/** The option as given, in the form in which it is kept: full class name, chunk length, keys sorted. Throws CONFIG_ERROR. */
export function parseCompression(given: StringMap): StringMap {
  const options = new Map(given)
  const enabled = options.get('enabled')
  if (enabled !== undefined) {
    options.delete('enabled')
    if (enabled.toLowerCase() !== 'true') {
      if (options.size > 0)
        throw configError("If the 'enabled' option is set to false no other options must be specified")
      return NO_COMPRESSION
    }
  }
  if (given.size === 0) return NO_COMPRESSION
  const name = options.get('class')
  if (name === undefined) throw configError("Missing sub-option 'class' for the 'compression' option.")
  if (name === '')
    throw configError("The 'class' option must not be empty. To disable compression use 'enabled' : false")
  options.delete('class')
  const chunkLength = parseChunkLength(options.get('chunk_length_in_kb'))
  options.delete('chunk_length_in_kb')
  const ratio = parseRatio(options.get('min_compress_ratio'))
  options.delete('min_compress_ratio')
  const full = name.includes('.') ? name : PACKAGE + name
  checkCompressor(full, options)
  if (chunkLength === null || chunkLength <= 0) throw configError('Invalid negative or null chunk_length_in_kb')
  if ((chunkLength & (chunkLength - 1)) !== 0) throw configError('chunk_length_in_kb must be a power of 2')
  if (ratio !== null && ratio < 0) throw configError('Invalid negative min_compress_ratio')
  if (ratio !== null && ratio > 0 && ratio < 1)
    throw configError('min_compress_ratio can either be 0 or greater than or equal to 1')
  options.set('chunk_length_in_kb', String(chunkLength))
  options.set('class', full)
  if (ratio !== null && ratio !== 0) options.set('min_compress_ratio', javaDouble(ratio))
  return new Map([...options].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function parseChunkLength(text: string | undefined): number | null {
  if (text === undefined) return CHUNK_LENGTH_DEFAULT_KB
  const value = javaInt(text)
  if (value === null) throw configError('Invalid value for chunk_length_in_kb')
  if (value > CHUNK_LENGTH_MAX_KB) throw configError(`Value of chunk_length_in_kb is too large (${value})`)
  return value
}

function parseRatio(text: string | undefined): number | null {
  if (text === undefined) return null
  const value = javaParseDouble(text)
  if (value === null)
    throw new RequestError('SERVER_ERROR', `java.lang.NumberFormatException: For input string: "${text}"`)
  return value
}

function checkCompressor(full: string, own: ReadonlyMap<string, string>): void {
  const short = full.startsWith(PACKAGE) ? full.slice(PACKAGE.length) : ''
  const settings = COMPRESSORS.get(short)
  if (!settings) throw configError(`Could not create Compression for type ${full}`)
  const type = own.get('lz4_compressor_type')
  if (settings.includes('lz4_compressor_type') && type !== undefined && type !== 'high' && type !== 'fast')
    throw configError(
      `Invalid compressor type '${type}' specified for LZ4 parameter 'lz4_compressor_type'. ` +
        'Valid options are [high, fast].',
    )
  const high = own.get('lz4_high_compressor_level')
  if (settings.includes('lz4_high_compressor_level') && high !== undefined) {
    const level = javaInt(high)
    if (level === null || level < 1 || level > 17)
      throw configError(
        `Invalid value [${high}] for parameter 'lz4_high_compressor_level'. Value must be between 1 and 17.`,
      )
  }
  const zstd = own.get('compression_level')
  if (settings.includes('compression_level') && zstd !== undefined) {
    const level = javaInt(zstd)
    const threw = 'ZstdCompressor.create() threw an error: java.lang.'
    if (level === null) throw configError(`${threw}NumberFormatException For input string: "${zstd}"`)
    if (level < -131072 || level > 22)
      throw configError(`${threw}IllegalArgumentException compression_level=${level} is invalid`)
  }
  const unknown = [...own.keys()].filter((key) => !settings.includes(key))
  if (unknown.length > 0) throw configError(`Unknown compression options ${hashMapOrder(unknown)[0]}`)
}
