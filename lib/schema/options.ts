/**
 * A table's options: their defaults, how WITH … changes them, and what is refused. Source: CREATE TABLE of CQL 3.4.7;
 * values, messages and the order of the checks are those of Cassandra 5.0.6.
 */
import { configError, RequestError } from '../base/errors.ts'
import { DEFAULT_COMPACTION, defaultBloomFilterFpChance, parseCompaction, validateCompaction } from './compaction.ts'
import { DEFAULT_COMPRESSION, parseCompression } from './compression.ts'
import { copiedHashMapOrder, javaDouble, javaInt } from './java.ts'
import {
  booleanProperty,
  checkNames,
  doubleProperty,
  intProperty,
  mapProperty,
  type PropertyMap,
  textProperty,
} from './properties.ts'
import { parseResolution, RESOLUTION_OPTIONS } from './resolution.ts'
import { parseSpeculativeRetry } from './speculation.ts'
import type { TableOptions } from './table.ts'

/** Attributes.MAX_TTL: 20 years in seconds. */
const TIME_TO_LIVE_MAX = 630720000
/** Below it the bloom filter's table of sizes has no entry. */
const BLOOM_FILTER_FP_CHANCE_MIN = 6.71e-5

const NAMES: ReadonlySet<string> = new Set([
  'additional_write_policy',
  'allow_auto_snapshot',
  'bloom_filter_fp_chance',
  'caching',
  'cdc',
  'comment',
  'compaction',
  'compression',
  'crc_check_chance',
  'default_time_to_live',
  'extensions',
  'gc_grace_seconds',
  'id',
  'incremental_backups',
  'max_index_interval',
  'memtable',
  'memtable_flush_period_in_ms',
  'min_index_interval',
  'read_repair',
  'sloppy_quorum',
  'speculative_retry',
  ...RESOLUTION_OPTIONS,
])

const DEFAULT_CACHING: ReadonlyMap<string, string> = new Map([
  ['keys', 'ALL'],
  ['rows_per_partition', 'NONE'],
])

export const DEFAULT_TABLE_OPTIONS: TableOptions = {
  additionalWritePolicy: '99p',
  allowAutoSnapshot: null,
  bloomFilterFpChance: 0.01,
  caching: DEFAULT_CACHING,
  cdc: null,
  comment: '',
  compaction: DEFAULT_COMPACTION,
  compression: DEFAULT_COMPRESSION,
  crcCheckChance: 1,
  defaultTimeToLive: 0,
  extensions: new Map(),
  gcGraceSeconds: 864000,
  incrementalBackups: null,
  maxIndexInterval: 2048,
  memtable: null,
  memtableFlushPeriodInMs: 0,
  minIndexInterval: 128,
  readRepair: 'BLOCKING',
  speculativeRetry: '99p',
}

/** Values that cannot be read are refused before the statement is looked at any further. */
export function checkReadable(properties: PropertyMap): void {
  checkMemtable(properties)
  parse(properties, null)
}

function checkMemtable(properties: PropertyMap): void {
  const name = textProperty(properties, 'memtable')
  if (name !== null && name !== 'default') throw configError(`Memtable configuration "${name}" not found.`)
}

/** The options of a new table (`previous` null), or those of an altered one. Throws SYNTAX_ERROR or CONFIG_ERROR. */
export function tableOptions(properties: PropertyMap, previous: TableOptions | null): TableOptions {
  checkNames(properties, NAMES)
  if (previous && properties.has('id')) throw configError('Cannot alter table id.')
  const options = parse(properties, previous)
  validate(options, mapProperty(properties, 'compaction') ?? options.compaction)
  return options
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** The id given by WITH ID = …, in lower case; null when there is none. */
export function givenTableId(properties: PropertyMap): string | null {
  const text = textProperty(properties, 'id')
  if (text === null) return null
  if (!UUID.test(text)) throw configError('Invalid table id')
  return text.toLowerCase()
}

function parse(properties: PropertyMap, previous: TableOptions | null): TableOptions {
  const base = previous ?? DEFAULT_TABLE_OPTIONS
  const allowAutoSnapshot = toDefaultNull(booleanProperty(properties, 'allow_auto_snapshot', base.allowAutoSnapshot))
  const chance = doubleProperty(properties, 'bloom_filter_fp_chance', -1)
  const caching = mapProperty(properties, 'caching')
  const cachingOptions = caching ? parseCaching(caching) : base.caching
  const comment = textProperty(properties, 'comment') ?? base.comment
  const givenCompaction = mapProperty(properties, 'compaction')
  const compaction = givenCompaction ? parseCompaction(givenCompaction) : base.compaction
  const givenCompression = mapProperty(properties, 'compression')
  const compression = givenCompression ? parseCompression(givenCompression) : base.compression
  checkMemtable(properties)
  const defaultTimeToLive = intProperty(properties, 'default_time_to_live', base.defaultTimeToLive)
  const gcGraceSeconds = intProperty(properties, 'gc_grace_seconds', base.gcGraceSeconds)
  const incrementalBackups = toDefaultNull(booleanProperty(properties, 'incremental_backups', base.incrementalBackups))
  const maxIndexInterval = intProperty(properties, 'max_index_interval', base.maxIndexInterval)
  const flushPeriod = intProperty(properties, 'memtable_flush_period_in_ms', base.memtableFlushPeriodInMs)
  const minIndexInterval = intProperty(properties, 'min_index_interval', base.minIndexInterval)
  const speculativeRetry = retryOption(properties, 'speculative_retry', base.speculativeRetry)
  const additionalWritePolicy = retryOption(properties, 'additional_write_policy', base.additionalWritePolicy)
  const crcCheckChance = doubleProperty(properties, 'crc_check_chance', base.crcCheckChance)
  const cdc = booleanProperty(properties, 'cdc', base.cdc)
  const readRepair = parseReadRepair(textProperty(properties, 'read_repair') ?? base.readRepair)
  let bloomFilterFpChance = previous ? previous.bloomFilterFpChance : defaultBloomFilterFpChance(compaction)
  // -1 asks for the default.
  if (properties.has('bloom_filter_fp_chance'))
    bloomFilterFpChance = chance === -1 ? defaultBloomFilterFpChance(compaction) : chance
  return {
    additionalWritePolicy,
    allowAutoSnapshot,
    bloomFilterFpChance,
    caching: cachingOptions,
    cdc,
    comment,
    compaction,
    compression,
    crcCheckChance,
    defaultTimeToLive,
    extensions: parseResolution(properties, parseExtensions(properties, base.extensions)),
    gcGraceSeconds,
    incrementalBackups,
    maxIndexInterval,
    memtable: base.memtable,
    memtableFlushPeriodInMs: flushPeriod,
    minIndexInterval,
    readRepair,
    speculativeRetry,
  }
}

/** An option that Cassandra has not: kept where drivers show it and Cassandra would pass it over. */
export const SLOPPY_QUORUM = 'sloppy_quorum'

/** Writes to the table may be taken by others than its replicas, as hints, when those are away. */
export function isSloppy({ extensions }: TableOptions): boolean {
  return extensions.has(SLOPPY_QUORUM)
}

function parseExtensions(properties: PropertyMap, base: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  const before = base.has(SLOPPY_QUORUM)
  const after = booleanProperty(properties, SLOPPY_QUORUM, before) ?? before
  if (after === before) return base
  const extensions = new Map(base)
  if (after) extensions.set(SLOPPY_QUORUM, Buffer.from('true'))
  else extensions.delete(SLOPPY_QUORUM)
  return extensions
}

/** These two are kept only when they differ from their default, true. */
function toDefaultNull(value: boolean | null): boolean | null {
  return value === true ? null : value
}

function retryOption(properties: PropertyMap, name: string, otherwise: string): string {
  const text = textProperty(properties, name)
  return text === null ? otherwise : parseSpeculativeRetry(text)
}

function parseReadRepair(text: string): string {
  const name = text.toUpperCase()
  if (name === 'NONE' || name === 'BLOCKING') return name
  throw new RequestError(
    'SERVER_ERROR',
    'java.lang.IllegalArgumentException: No enum constant ' +
      `org.apache.cassandra.service.reads.repair.ReadRepairStrategy.${name}`,
  )
}

function parseCaching(given: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const unknown = copiedHashMapOrder(given.keys()).filter((key) => key !== 'keys' && key !== 'rows_per_partition')
  if (unknown.length > 0)
    throw configError(
      `Invalid caching sub-options [${unknown.join(', ')}]: only 'keys' and 'rows_per_partition' are allowed`,
    )
  // Who names one of the two gets none of the other.
  const keys = given.get('keys') ?? 'NONE'
  if (!/^(all|none)$/i.test(keys))
    throw configError(`Invalid value '${keys}' for caching sub-option 'keys': only 'ALL' and 'NONE' are allowed`)
  const rows = given.get('rows_per_partition') ?? 'NONE'
  if (!/^(all|none|[0-9]+)$/i.test(rows))
    throw configError(
      `Invalid value '${rows}' for caching sub-option 'rows_per_partition': ` +
        "only 'ALL', 'NONE', and integer values are allowed",
    )
  if (/^[0-9]/.test(rows) && javaInt(rows) === null)
    throw new RequestError('SERVER_ERROR', `java.lang.NumberFormatException: For input string: "${rows}"`)
  return new Map([
    ['keys', keys.toUpperCase()],
    [
      'rows_per_partition',
      /^[0-9]/.test(rows) ? (Number(rows) === 0 ? 'NONE' : String(Number(rows))) : rows.toUpperCase(),
    ],
  ])
}

function validate(options: TableOptions, compaction: ReadonlyMap<string, string>): void {
  validateCompaction(options.compaction, compaction)
  const chance = options.bloomFilterFpChance
  if (chance <= BLOOM_FILTER_FP_CHANCE_MIN || chance > 1)
    throw configError(
      `bloom_filter_fp_chance must be larger than ${javaDouble(BLOOM_FILTER_FP_CHANCE_MIN)} and ` +
        `less than or equal to 1.0 (got ${javaDouble(chance)})`,
    )
  const crc = options.crcCheckChance
  if (crc < 0 || crc > 1)
    throw configError(
      'crc_check_chance must be larger than or equal to 0 and smaller than or equal to 1.0 ' +
        `(got ${javaDouble(crc)})`,
    )
  atLeast('default_time_to_live', options.defaultTimeToLive, 0)
  if (options.defaultTimeToLive > TIME_TO_LIVE_MAX)
    throw configError(
      `default_time_to_live must be less than or equal to ${TIME_TO_LIVE_MAX} (got ${options.defaultTimeToLive})`,
    )
  atLeast('gc_grace_seconds', options.gcGraceSeconds, 0)
  atLeast('min_index_interval', options.minIndexInterval, 1)
  if (options.maxIndexInterval < options.minIndexInterval)
    throw configError(
      `max_index_interval must be greater than or equal to min_index_interval (${options.minIndexInterval}) ` +
        `(got ${options.maxIndexInterval})`,
    )
  atLeast('memtable_flush_period_in_ms', options.memtableFlushPeriodInMs, 0)
}

function atLeast(name: string, value: number, least: number): void {
  if (value < least) throw configError(`${name} must be greater than or equal to ${least} (got ${value})`)
}
