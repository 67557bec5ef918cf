/** The option `compaction` where no golden answers are: FIFOCompactionStrategy is our own. And the sizes that such options have. */
import t from 'tap'
import { parseCompaction, validateCompaction } from '../../lib/schema/compaction.ts'
import { formatHumanSize, parseHumanSize } from '../../lib/schema/human-size.ts'

function check(options: Record<string, string>): Record<string, string> {
  const given = new Map(Object.entries({ class: 'FIFOCompactionStrategy', ...options }))
  const compaction = parseCompaction(given)
  validateCompaction(compaction, given)
  return Object.fromEntries(compaction)
}

t.test('FIFOCompactionStrategy', async (t) => {
  t.same(check({ max_table_size: '10 GiB' }), {
    class: 'org.apache.cassandra.db.compaction.FIFOCompactionStrategy',
    max_table_size: '10 GiB',
    max_threshold: '32',
    min_threshold: '4',
  })
  check({ max_sstable_size: '0B', expired_sstable_check_frequency_seconds: '0', tombstone_threshold: '0.5' })
  const wrong: [Record<string, string>, string][] = [
    [{ max_table_size: '10' }, 'max_table_size 10 is not a valid size in bytes: 10 does not end in unit B'],
    [{ max_table_size: '0B' }, 'max_table_size 0B is not acceptable, size must be at least 1.000B'],
    [{ max_sstable_size: '-1B' }, 'max_sstable_size -1B is not acceptable, size must be at least 0.000B'],
    [{ min_threshold: '1' }, 'Min compaction threshold cannot be less than 2 (got 1)'],
    [{ bucket_low: '1' }, 'Properties specified [bucket_low] are not understood by FIFOCompactionStrategy'],
    [
      { expired_sstable_check_frequency_seconds: '-1' },
      'expired_sstable_check_frequency_seconds must not be negative, but was -1',
    ],
  ]
  for (const [options, message] of wrong) t.throws(() => check(options), { code: 'CONFIG_ERROR', message })
})

t.test('sizes', async (t) => {
  t.same(parseHumanSize('1.5 GiB'), { bytes: 1.5 * 2 ** 30 })
  t.same(parseHumanSize('2kB'), { wrong: 'Unexpected characters between pos 1 and 2 in 2kB' })
  t.same(parseHumanSize('2KB'), { bytes: 2000 })
  t.same(parseHumanSize('1*2^20B'), { bytes: 2 ** 20 })
  t.same(parseHumanSize('12B'), { bytes: 12 })
  t.same([1, 1023, 1024, 1.5 * 2 ** 30, Number.POSITIVE_INFINITY].map(formatHumanSize), [
    '1.000B',
    '1023.000B',
    '1.000KiB',
    '1.500GiB',
    '8.000EiB',
  ])
})
