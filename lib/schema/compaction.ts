/**
 * The option `compaction` of a table: which strategies and settings there are, and what is wrong with others.
 * Source: the answers of Cassandra 5.0.6; FIFOCompactionStrategy is our own. Settings are checked and kept as written; lib/server/table-options.ts
 * reads them.
 */
import { configError, RequestError } from '../base/errors.ts'
import { formatHumanSize, isBeyondLong, parseHumanSize } from './human-size.ts'
import { hashMapOrder, javaDouble, javaInt, javaLong, javaParseDouble } from './java.ts'

const PACKAGE = 'org.apache.cassandra.db.compaction.'

type StringMap = ReadonlyMap<string, string>

const COMMON = [
  'tombstone_threshold',
  'tombstone_compaction_interval',
  'unchecked_tombstone_compaction',
  'log_all',
  'enabled',
  'only_purge_repaired_tombstones',
  'provide_overlapping_tombstones',
]
const SIZE_TIERED = ['min_sstable_size', 'bucket_low', 'bucket_high']
const WINDOW = [
  'compaction_window_unit',
  'compaction_window_size',
  'timestamp_resolution',
  'expired_sstable_check_frequency_seconds',
  'unsafe_aggressive_sstable_expiration',
]
const LEVELED = ['sstable_size_in_mb', 'fanout_size', 'single_sstable_uplevel']
const UNIFIED = [
  'scaling_parameters',
  'target_sstable_size',
  'min_sstable_size',
  'base_shard_count',
  'sstable_growth',
  'flush_size_override',
  'max_sstables_to_compact',
  'overlap_inclusion_method',
  'expired_sstable_check_frequency_seconds',
  'unsafe_aggressive_sstable_expiration',
]
const FIFO = ['max_table_size', 'max_sstable_size', 'expired_sstable_check_frequency_seconds']

interface Strategy {
  readonly settings: ReadonlySet<string>
  readonly thresholds: boolean
  check(options: StringMap): void
}

const STRATEGIES: ReadonlyMap<string, Strategy> = new Map<string, Strategy>([
  [
    'SizeTieredCompactionStrategy',
    { settings: new Set([...COMMON, ...SIZE_TIERED]), thresholds: true, check: checkSizeTiered },
  ],
  [
    'LeveledCompactionStrategy',
    { settings: new Set([...COMMON, ...LEVELED, ...SIZE_TIERED]), thresholds: true, check: checkLeveled },
  ],
  [
    'TimeWindowCompactionStrategy',
    { settings: new Set([...COMMON, ...WINDOW, ...SIZE_TIERED]), thresholds: true, check: checkWindow },
  ],
  ['FIFOCompactionStrategy', { settings: new Set([...COMMON, ...FIFO]), thresholds: true, check: checkFifo }],
  ['UnifiedCompactionStrategy', { settings: new Set([...COMMON, ...UNIFIED]), thresholds: false, check: checkUnified }],
])

export const DEFAULT_COMPACTION: StringMap = new Map([
  ['class', `${PACKAGE}SizeTieredCompactionStrategy`],
  ['max_threshold', '32'],
  ['min_threshold', '4'],
])

/** 0.1 for leveled compaction, 0.01 for the others. */
export function defaultBloomFilterFpChance(compaction: StringMap): number {
  return compaction.get('class') === `${PACKAGE}LeveledCompactionStrategy` ? 0.1 : 0.01
}

/** The option as given, with the class by its full name and the defaults of its thresholds; keys sorted. Checks the class only. */
export function parseCompaction(given: StringMap): StringMap {
  const name = given.get('class')
  if (name === undefined) throw configError("Missing sub-option 'class' for the 'compaction' option")
  const full = name.includes('.') ? name : PACKAGE + name
  const strategy = full.startsWith(PACKAGE) ? STRATEGIES.get(full.slice(PACKAGE.length)) : undefined
  if (!strategy) throw configError(`Unable to find compaction strategy class '${full}'`)
  const provide = given.get('provide_overlapping_tombstones')
  if (provide !== undefined && !/^(none|row|cell)$/i.test(provide))
    throw configError(
      `Invalid value ${provide.toUpperCase()} for 'provide_overlapping_tombstones' compaction sub-option - ` +
        'must be one of the following [NONE, ROW, CELL].',
    )
  const all = new Map(given)
  all.set('class', full)
  if (strategy.thresholds) {
    if (!all.has('min_threshold')) all.set('min_threshold', '4')
    if (!all.has('max_threshold')) all.set('max_threshold', '32')
  }
  return new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Checks the settings of what parseCompaction made of `given`; throws CONFIG_ERROR. */
export function validateCompaction(compaction: StringMap, given: StringMap): void {
  const name = compaction.get('class')!.slice(PACKAGE.length)
  const strategy = STRATEGIES.get(name)!
  checkCommon(compaction)
  strategy.check(compaction)
  const known = (key: string) =>
    key === 'class' ||
    strategy.settings.has(key) ||
    (strategy.thresholds && (key === 'min_threshold' || key === 'max_threshold'))
  const unknown = [...given.keys()].filter((key) => !known(key))
  if (unknown.length > 0)
    throw configError(`Properties specified [${hashMapOrder(unknown).join(', ')}] are not understood by ${name}`)
  if (strategy.thresholds) checkThresholds(compaction)
}

function checkThresholds(options: StringMap): void {
  const threshold = (key: string) => {
    const text = options.get(key)!
    if (!/^[0-9]+$/.test(text))
      throw configError(`Invalid value ${text} for '${key}' compaction sub-option - must be an integer`)
    const value = javaInt(text)
    if (value === null)
      throw new RequestError('SERVER_ERROR', `java.lang.NumberFormatException: For input string: "${text}"`)
    return value
  }
  const min = threshold('min_threshold')
  const max = threshold('max_threshold')
  if (min <= 0 || max <= 0)
    throw configError(
      'Disabling compaction by setting compaction thresholds to 0 has been removed, ' +
        "set the compaction option 'enabled' to false instead.",
    )
  if (min <= 1) throw configError(`Min compaction threshold cannot be less than 2 (got ${min})`)
  if (min > max)
    throw configError(
      `Min compaction threshold (got ${min}) cannot be greater than max compaction threshold (got ${max})`,
    )
}

/** An integer setting; null when it was not given. */
function integer(options: StringMap, key: string, parse: (text: string) => number | null = javaInt): number | null {
  const text = options.get(key)
  if (text === undefined) return null
  const value = parse(text)
  if (value === null) throw configError(`${text} is not a parsable int (base10) for ${key}`)
  return value
}

function isBooleanText(text: string): boolean {
  return /^(true|false)$/i.test(text)
}

function checkCommon(options: StringMap): void {
  const threshold = options.get('tombstone_threshold')
  if (threshold !== undefined) {
    const value = javaParseDouble(threshold)
    if (value === null) throw configError(`${threshold} is not a parsable int (base10) for tombstone_threshold`)
    if (value < 0) throw configError(`tombstone_threshold must be greater than 0, but was ${value.toFixed(6)}`)
  }
  const interval = integer(options, 'tombstone_compaction_interval', javaLong)
  if (interval !== null && interval < 0)
    throw configError(`tombstone_compaction_interval must be greater than 0, but was ${interval}`)
  const unchecked = options.get('unchecked_tombstone_compaction')
  if (unchecked !== undefined && !isBooleanText(unchecked))
    throw configError(`'unchecked_tombstone_compaction' should be either 'true' or 'false', not '${unchecked}'`)
  const logAll = options.get('log_all')
  if (logAll !== undefined && !isBooleanText(logAll))
    throw configError(`'log_all' should either be 'true' or 'false', not ${logAll}`)
  const enabled = options.get('enabled')
  if (enabled !== undefined && !isBooleanText(enabled))
    throw configError(`enabled should either be 'true' or 'false', not ${enabled}`)
}

function checkSizeTiered(options: StringMap): void {
  const size = integer(options, 'min_sstable_size', javaLong)
  if (size !== null && size < 0) throw configError(`min_sstable_size must be non negative: ${size}`)
  const bound = (key: string, otherwise: number) => {
    const text = options.get(key)
    if (text === undefined) return otherwise
    const value = javaParseDouble(text)
    if (value === null) throw configError(`${text} is not a parsable float for ${key}`)
    return value
  }
  const low = bound('bucket_low', 0.5)
  const high = bound('bucket_high', 1.5)
  if (high <= low)
    throw configError(
      `bucket_high value (${javaDouble(high)}) is less than or equal to the bucket_low value (${javaDouble(low)})`,
    )
}

function checkLeveled(options: StringMap): void {
  const size = integer(options, 'sstable_size_in_mb')
  if (size !== null && size < 1) throw configError(`sstable_size_in_mb must be larger than 0, but was ${size}`)
  const fanout = options.get('fanout_size')
  if (fanout !== undefined) {
    const value = javaInt(fanout)
    // Cassandra names the SSTables' size here, not the text that was wrong.
    if (value === null)
      throw configError(`${options.get('sstable_size_in_mb') ?? '1'} is not a parsable int (base10) for fanout_size`)
    if (value < 1) throw configError(`fanout_size must be larger than 0, but was ${value}`)
  }
  checkSizeTiered(options)
}

function checkWindow(options: StringMap): void {
  const resolution = options.get('timestamp_resolution')
  if (resolution !== undefined && !/^(NANO|MICRO|MILLI)?SECONDS$/.test(resolution))
    throw configError(`${resolution} is not valid for timestamp_resolution`)
  const unit = options.get('compaction_window_unit')
  if (unit !== undefined && !/^(MINUTES|HOURS|DAYS)$/.test(unit))
    throw configError(`${unit} is not valid for compaction_window_unit`)
  const size = integer(options, 'compaction_window_size')
  if (size !== null && size < 1) throw configError(`${size} must be greater than 1 for compaction_window_size`)
  checkFrequency(options)
  const unsafe = options.get('unsafe_aggressive_sstable_expiration')
  if (unsafe !== undefined && !isBooleanText(unsafe))
    throw configError(`unsafe_aggressive_sstable_expiration is not 'true' or 'false' (${unsafe})`)
  refuseUnsafe(unsafe)
  checkSizeTiered(options)
}

function refuseUnsafe(unsafe: string | undefined): void {
  if (unsafe?.toLowerCase() === 'true')
    throw configError(
      'unsafe_aggressive_sstable_expiration is requested but not allowed, restart cassandra with ' +
        '-Dcassandra.allow_unsafe_aggressive_sstable_expiration=true to allow it',
    )
}

function checkFrequency(options: StringMap): void {
  const frequency = integer(options, 'expired_sstable_check_frequency_seconds', javaLong)
  if (frequency !== null && frequency < 0)
    throw configError(`expired_sstable_check_frequency_seconds must not be negative, but was ${frequency}`)
}

function checkFifo(options: StringMap): void {
  for (const key of ['max_table_size', 'max_sstable_size']) sizeAtLeast(options, key, key === 'max_table_size' ? 1 : 0)
  checkFrequency(options)
}

const MIB = 1024 * 1024
const TARGET_BYTES = 1024 * MIB
/** An SSTable is cut in two when it is this much too large. */
const MIN_SIZE_SHARE = Math.sqrt(0.5)

/** In the order of Cassandra's Controller. */
function checkUnified(options: StringMap): void {
  checkScaling(options.get('scaling_parameters'))
  const shards = integer(options, 'base_shard_count')
  if (shards !== null && shards <= 0)
    throw configError(`Invalid configuration, base_shard_count should be positive: ${shards}`)
  const target = sizeAtLeast(options, 'target_sstable_size', MIB) ?? TARGET_BYTES
  sizeAtLeast(options, 'flush_size_override', MIB)
  const frequencyText = options.get('expired_sstable_check_frequency_seconds')
  const frequency = frequencyText === undefined ? 1 : javaLong(frequencyText)
  if (frequency === null)
    throw configError(`${frequencyText} is not a parsable long (base10) for expired_sstable_check_frequency_seconds`)
  if (frequency <= 0)
    throw configError(
      `Invalid configuration, expired_sstable_check_frequency_seconds should be positive: ${frequencyText}`,
    )
  const unsafe = options.get('unsafe_aggressive_sstable_expiration')
  if (unsafe !== undefined && !isBooleanText(unsafe))
    throw configError(`unsafe_aggressive_sstable_expiration should either be 'true' or 'false', not ${unsafe}`)
  integer(options, 'max_sstables_to_compact')
  const overlap = options.get('overlap_inclusion_method')
  if (overlap !== undefined && !/^(none|single|transitive)$/i.test(overlap))
    throw configError(`Invalid overlap inclusion method ${overlap}. The valid options are [NONE, SINGLE, TRANSITIVE].`)
  checkLeastSize(options.get('min_sstable_size'), target)
  checkGrowth(options.get('sstable_growth'))
}

function checkScaling(parameters: string | undefined): void {
  if (parameters === undefined) return
  const parts = parameters.split(',')
  // As the JVM splits: empty parts at the end do not count, but a text without commas does.
  while (parts.length > 1 && parts.at(-1) === '') parts.pop()
  if (parameters.startsWith(',') && parts.join('') === '') return
  for (const part of parts.map((text) => text.trim())) {
    if (!/^(N|L[0-9]+|T[0-9]+|[+-]?[0-9]+)$/.test(part))
      throw configError(`Scaling parameter ${part} must match N|L[0-9]+|T[0-9]+|[+-]?[0-9]+`)
    if (part === 'N') continue
    const digits = part.replace(/^[TL]/, '')
    const value = javaInt(digits)
    if (value === null)
      throw configError(
        `${PACKAGE}UnifiedCompactionStrategy.validateOptions() threw an error: ` +
          `java.lang.NumberFormatException For input string: "${digits}"`,
      )
    if (digits !== part && value < 2) throw configError(`Fan factor cannot be lower than 2 in ${part}`)
  }
}

/** Bytes of a size with a unit; null when it was not given. */
function sizeAtLeast(options: StringMap, key: string, least: number): number | null {
  const text = options.get(key)
  if (text === undefined) return null
  const size = parseHumanSize(text)
  if ('wrong' in size) throw configError(`${key} ${text} is not a valid size in bytes: ${size.wrong}`)
  if (isBeyondLong(size.bytes)) throw configError(`${key} ${text} is out of range of Long.`)
  if (size.bytes < least)
    throw configError(`${key} ${text} is not acceptable, size must be at least ${formatHumanSize(least)}`)
  return size.bytes
}

function checkLeastSize(text: string | undefined, target: number): void {
  if (text === undefined) return
  const size = parseHumanSize(text)
  if ('wrong' in size) throw configError(`${text} is not a valid size in bytes for min_sstable_size`)
  if (size.bytes < 0)
    throw configError('Invalid configuration, min_sstable_size should be greater than or equal to 0 (zero)')
  if (size.bytes >= target * MIN_SIZE_SHARE)
    throw configError(
      `Invalid configuration, min_sstable_size (${formatHumanSize(size.bytes)}) should be less than 70% of the ` +
        `targetSSTableSize (${formatHumanSize(target)})`,
    )
}

/** `0.333` or `33%`. */
function checkGrowth(text: string | undefined): void {
  if (text === undefined) return
  const digits = text.replace(/%$/, '')
  const value = javaParseDouble(digits)
  if (value === null)
    throw configError(
      `sstable_growth is not a valid number between 0 and 1: ` +
        (digits.trim() === '' ? 'empty String' : `For input string: "${digits}"`),
    )
  const share = text.endsWith('%') ? value / 100 : value
  if (share < 0 || share > 1) throw configError(`sstable_growth ${text} must be between 0 and 1`)
}
