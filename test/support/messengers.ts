/** Messengers for tests, on any network; what they logged, and requests as promises. */
import type { Messenger, Payload } from '../../cluster/internode/messenger.ts'
import { type MessengerOptions, type NodeMessenger, openMessenger } from '../../cluster/internode/node-messenger.ts'
import type { InternodeSettings } from '../../cluster/internode/settings.ts'
import type { Clock, Log, Network } from '../../lib/runtime/runtime.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'

export interface MemoryLog extends Log {
  readonly lines: string[]
}

export function createMemoryLog(): MemoryLog {
  const lines: string[] = []
  const say =
    (level: string) =>
    (_source: string, message: string, cause?: unknown): void => {
      lines.push(`${level} ${message}${cause ? `: ${(cause as Error).message}` : ''}`)
    }
  const quiet = (): void => {}
  return { lines, trace: quiet, debug: quiet, info: say('INFO'), warn: say('WARN'), error: say('ERROR') }
}

export interface TestMessengerOptions {
  readonly network: Network
  readonly clock: Clock
  readonly endpoint: string
  readonly clusterName?: string
  readonly seed?: number
  readonly log?: Log
  readonly settings?: Partial<InternodeSettings>
  readonly more?: Partial<MessengerOptions>
}

export function hostIdOf(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
}

export function openTestMessenger(options: TestMessengerOptions): Promise<NodeMessenger> {
  const { network, clock, endpoint, seed = 1 } = options
  return openMessenger({
    clock,
    network,
    random: createSeededRandom(seed),
    log: options.log ?? createMemoryLog(),
    self: { hostId: hostIdOf(seed), endpoint },
    clusterName: options.clusterName ?? 'Test Cluster',
    settings: options.settings ?? {},
    epoch: () => 7,
    hybrid: { now: () => clock.wallMicros(), observe() {} },
    ...options.more,
  })
}

export type Outcome = { readonly answer: Buffer } | { readonly reason: number }

/** Rejects when the handler is called twice. */
export function ask(from: Messenger, to: string, verb: number, payload: Payload, timeoutMs = 5_000): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let calls = 0
    const once = (outcome: Outcome): void => {
      if (++calls > 1) reject(new Error('a reply handler was called twice'))
      else resolve(outcome)
    }
    from.request(to, verb, payload, timeoutMs, {
      replied: (_from, answer) => once({ answer: Buffer.from(answer) }),
      failed: (_from, reason) => once({ reason }),
    })
  })
}

export function answerText(outcome: Outcome): string {
  return 'answer' in outcome ? outcome.answer.toString() : `reason ${outcome.reason}`
}
