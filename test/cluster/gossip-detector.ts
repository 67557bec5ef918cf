/** Phi: the figures of Cassandra, and what it must not be misled by. */
import t from 'tap'
import { FailureDetector, LOCAL_PAUSE_MS } from '../../cluster/gossip/failure-detector.ts'

const OPTIONS = { phiConvict: 8, phiSuspect: 2, intervalMs: 1_000 }

function beating(seconds: number, intervalMs = 1_000): { detector: FailureDetector; nowMs: number } {
  const detector = new FailureDetector(OPTIONS, 0)
  let nowMs = 0
  for (; nowMs < seconds * 1_000; nowMs += intervalMs) {
    detector.look(nowMs)
    detector.heard('node', nowMs)
  }
  return { detector, nowMs: nowMs - intervalMs }
}

/** Seconds of silence until phi is that much. */
function silence({ detector, nowMs }: ReturnType<typeof beating>, phi: number): number {
  for (let seconds = 0; seconds < 100; seconds += 0.1) {
    detector.look(nowMs + seconds * 1_000)
    if (detector.phi('node', nowMs + seconds * 1_000) >= phi) return seconds
  }
  return Number.POSITIVE_INFINITY
}

t.test('with a heartbeat a second, phi 8 is 18.4 s of silence and phi 2 is 4.6 s', (t) => {
  const near = (found: number, wanted: number) => t.ok(Math.abs(found - wanted) < 0.3, `${found} is about ${wanted}`)
  near(silence(beating(300), 8), 18.4)
  near(silence(beating(300), 2), 4.6)
  t.end()
})

t.test('what nobody was heard of says nothing', (t) => {
  t.equal(new FailureDetector(OPTIONS, 0).phi('node', 1e6), 0)
  t.end()
})

t.test('slow heartbeats earn patience, hasty ones no haste', (t) => {
  t.ok(silence(beating(300, 1_500), 8) > 25)
  t.ok(silence(beating(30, 100), 8) > 18)
  t.ok(silence(beating(1), 8) > 35, 'a single one is judged by twice the interval')
  t.end()
})

t.test('an outage does not lengthen what is usual', (t) => {
  const { detector, nowMs } = beating(300)
  detector.look(nowMs + 4_000)
  detector.heard('node', nowMs + 4_000)
  t.ok(Math.abs(silence({ detector, nowMs: nowMs + 4_000 }, 8) - 18.4) < 0.3)
  t.end()
})

t.test('time in which this process was stopped is nobody’s silence', (t) => {
  const { detector, nowMs } = beating(300)
  t.equal(detector.look(nowMs + LOCAL_PAUSE_MS), 0, 'so long a round may be late')
  t.equal(detector.look(nowMs + LOCAL_PAUSE_MS + 600_000), 600_000)
  t.ok(detector.phi('node', nowMs + LOCAL_PAUSE_MS + 600_000) < 2.5)
  const after = silence({ detector, nowMs: nowMs + LOCAL_PAUSE_MS + 600_000 }, 8)
  t.ok(after > 12 && after < 14, `counting goes on: ${after} s`)
  t.end()
})
