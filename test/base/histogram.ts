/** Histograms against a sorted list, and how latencies are sampled and aged. */
import t from 'tap'
import { Histogram } from '../../lib/base/histogram.ts'
import { Latency } from '../../lib/base/latency.ts'
import { forAll } from '../support/random.ts'

t.test('percentiles are at most a sixteenth above the true ones, never below', (t) => {
  forAll(200, (random) => {
    const histogram = new Histogram()
    const values = Array.from({ length: 1 + random.int(400) }, () => random.int(2 ** (1 + random.int(31))))
    for (const value of values) histogram.record(value)
    values.sort((a, b) => a - b)
    for (const share of [0.01, 0.5, 0.99, 1]) {
      const exact = values[Math.max(0, Math.ceil(values.length * share) - 1)]!
      const told = histogram.percentile(share)
      if (told < exact || told > exact * (1 + 1 / 16)) throw new Error(`${share} of ${values}: ${told}, not ${exact}`)
    }
  })
  t.end()
})

t.test('small values are exact, large ones are cut', (t) => {
  for (let value = 0; value < 32; value++) {
    const histogram = new Histogram()
    histogram.record(value)
    t.equal(histogram.max, value)
  }
  const histogram = new Histogram()
  t.equal(histogram.percentile(0.5), 0)
  histogram.record(2 ** 40)
  t.equal(histogram.max, 2 ** 32 - 1)
  t.same(histogram.buckets(), [{ value: 2 ** 32 - 1, count: 1 }])
  t.end()
})

t.test('what is aged gives way to what is new', (t) => {
  const histogram = new Histogram()
  for (let i = 0; i < 1000; i++) histogram.record(1000)
  for (let i = 0; i < 4; i++) histogram.age(0.1)
  for (let i = 0; i < 10; i++) histogram.record(5)
  t.equal(histogram.percentile(0.5), 5)
  for (let i = 0; i < 4; i++) histogram.age(0.1)
  t.equal(histogram.max, 0, 'at last nothing is left')
  t.end()
})

t.test('each of the first is timed, then one of eight stands for all', (t) => {
  const latency = new Latency()
  for (let i = 0; i < 9024; i++) if (latency.begins()) latency.sampled(2)
  t.equal(latency.count, 9024)
  const recorded = latency.micros.buckets().reduce((sum, { count }) => sum + count, 0)
  t.equal(recorded, 9024)
  t.equal(latency.micros.percentile(0.5), 2047)
  latency.tick(1e9)
  t.ok(latency.perSecond > 0.000009 && latency.perSecond < 0.0000091)
  latency.tick(1e9)
  t.equal(latency.perSecond, 0)
  t.end()
})
