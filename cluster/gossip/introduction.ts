/**
 * What a node asks before it takes part: who is there, what time is it, is anybody me? Source: Cassandra's shadow round.
 * Always: it tells nothing of itself, so who is refused leaves no trace.
 */
import { BytesError } from '../../lib/base/bytes.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'
import type { Endpoint, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { type ClusterName, GossipReader, GossipWriter } from './messages.ts'
import { hostIdOf } from './state.ts'

export interface IntroducedNode {
  readonly hostId: string
  readonly endpoint: Endpoint | null
  readonly isUp: boolean
}

/** What one node answered. */
export interface Introduction {
  readonly from: Endpoint
  /** Of who answered. */
  readonly hostId: string
  readonly cluster: ClusterName
  /** How far its wall clock is ahead of this one's, as far as that can be known: give or take half of the time that the answer took. */
  readonly aheadMs: number
  readonly tookMs: number
  /** Whom it knows, itself too. */
  readonly nodes: readonly IntroducedNode[]
}

export interface IntroductionOptions {
  readonly messenger: Messenger
  readonly clock: Clock
  readonly cluster: ClusterName
  readonly timeoutMs: number
}

/** Asks all at once; who does not answer is left out. */
export async function askForIntroductions(
  endpoints: Iterable<Endpoint>,
  options: IntroductionOptions,
): Promise<Introduction[]> {
  const answers = await Promise.all(Array.from(new Set(endpoints), (endpoint) => ask(endpoint, options)))
  return answers.filter((answer) => answer !== null)
}

function ask(
  endpoint: Endpoint,
  { messenger, clock, cluster, timeoutMs }: IntroductionOptions,
): Promise<Introduction | null> {
  const startMs = clock.monotonicMs()
  const startMicros = clock.wallMicros()
  return new Promise((resolve) => {
    const payload = new GossipWriter().begin(cluster).end()
    messenger.request(endpoint, Verb.GOSSIP_HELLO, payload, timeoutMs, {
      replied: (_from, answer) =>
        resolve(decodeIntroduction(endpoint, answer, { startMicros, tookMs: clock.monotonicMs() - startMs })),
      failed: () => resolve(null),
    })
  })
}

function decodeIntroduction(
  from: Endpoint,
  payload: Buffer,
  { startMicros, tookMs }: { startMicros: number; tookMs: number },
): Introduction | null {
  try {
    const reader = new GossipReader(payload)
    const wallMicros = reader.micros()
    const states = reader.differences()
    const up = new Set(reader.digests().map(({ key }) => key))
    const [own] = states
    if (!own) return null
    const nodes = states.map(({ key, values }) => ({
      hostId: hostIdOf(key),
      endpoint: values.get('INTERNAL_ADDRESS_AND_PORT')?.value ?? null,
      isUp: up.has(key),
    }))
    const aheadMs = (wallMicros - startMicros) / 1000 - tookMs / 2
    return { from, hostId: hostIdOf(own.key), cluster: reader.cluster, aheadMs, tookMs, nodes }
  } catch (error) {
    if (error instanceof BytesError) return null
    throw error
  }
}
