/**
 * Coordinators that lag behind the ring. A replica refuses what was planned before the ring's last change that it knows of (COORDINATOR_BEHIND): it has done
 * nothing. Whoever is refused gets the metadata and plans anew. Source: CoordinatorBehindException of Cassandra's TCM.
 * Always: what several messages make up is planned and sent by one ring: before each later round it is looked whether that ring is past.
 */
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import type { Clock } from '../../lib/runtime/runtime.ts'
import type { CoordinatorEnvironment } from './environment.ts'

/** It could not be learned in time what the ring is by now. */
export class StillBehindError extends Error {
  override name = 'StillBehindError'
}

export type RingKnowledge = Pick<CoordinatorEnvironment, 'clock' | 'epoch' | 'ringEpoch' | 'catchUp'>

/** Whether the ring has changed since something was planned at that epoch. */
export function isPast(environment: Pick<CoordinatorEnvironment, 'ringEpoch'>, plannedAt: number): boolean {
  return environment.ringEpoch() > plannedAt
}

/** Gets metadata that are newer than those by which something was planned that was refused. False: there was no time for it, or nobody to get them from. */
export async function catchUpPast(environment: RingKnowledge, plannedAt: number, leftMs: number): Promise<boolean> {
  if (environment.epoch() > plannedAt) return true
  if (leftMs <= 0) return false
  await inTime(environment.clock, leftMs, environment.catchUp(plannedAt + 1), new StillBehindError()).catch(onlyLate)
  return environment.epoch() > plannedAt
}

/** What comes of it, or after that time `late`: the second try has what the first one left. */
export async function inTime<T>(
  clock: Pick<Clock, 'after'>,
  ms: number,
  work: T | Promise<T>,
  late: Error,
): Promise<T> {
  let timer: Disposable | null = null
  const end = new Promise<never>((_, reject) => {
    timer = clock.after(ms, () => reject(late))
  })
  try {
    return await Promise.race([work, end])
  } finally {
    ;(timer as Disposable | null)?.[Symbol.dispose]()
  }
}

/** What a replica answers to who does not know of the ring's last change. */
export function behind(): ReplicaFailure {
  return new ReplicaFailure(
    'COORDINATOR_BEHIND',
    FailureReason.COORDINATOR_BEHIND,
    'the ring has changed since, and who asks has not heard of it',
  )
}

export function isBehind(cause: unknown): boolean {
  return cause instanceof ReplicaFailure && cause.reasonCode === FailureReason.COORDINATOR_BEHIND
}

function onlyLate(cause: unknown): void {
  if (!(cause instanceof StillBehindError)) throw cause
}
