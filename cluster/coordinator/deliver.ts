/**
 * Brings mutations to all of their replicas when nobody waits for a level: what a batch's dead coordinator may have left undone, what a base
 * table's write means for its views. Resolves when each replica has its part or a hint is kept for it; rejects when it has to be tried again.
 */
import { ByteWriter } from '../../lib/base/bytes.ts'
import { FailureReason } from '../../lib/base/errors.ts'
import { Consistency } from '../../lib/types/consistency.ts'
import { tableKeyOf } from '../../storage/model/mutation.ts'
import type { Endpoint } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import { catchUpPast, StillBehindError } from './behind.ts'
import type { CoordinatorEnvironment } from './environment.ts'
import type { ReplicaWrites } from './replica-writes.ts'
import { putMutation, putMutationHead } from './write-messages.ts'
import type { WritePlans } from './write-plans.ts'

export interface DeliverOptions {
  readonly environment: CoordinatorEnvironment
  readonly plans: WritePlans
  readonly replica: Pick<ReplicaWrites, 'takes' | 'apply'>
}

/** `writtenAt`: when the write began. What is too old is left out; mutations of tables that are unknown here were of tables that were dropped. */
export async function deliver(options: DeliverOptions, mutations: readonly Buffer[], writtenAt: number): Promise<void> {
  const { environment } = options
  for (;;) {
    const plannedAt = environment.epoch()
    if (await deliverByRing(options, mutations, writtenAt)) return
    if (!(await catchUpPast(environment, plannedAt, environment.timeouts.writeMs))) throw new StillBehindError()
  }
}

/** False: the ring has changed, and somebody has to get it by that. */
async function deliverByRing(
  { environment, plans, replica }: DeliverOptions,
  mutations: readonly Buffer[],
  writtenAt: number,
): Promise<boolean> {
  let isRefused = false
  const own: Buffer[] = []
  const alive = new Map<string, { endpoint: Endpoint; mutations: Buffer[] }>()
  const dead = new Map<string, Buffer[]>()
  for (const mutation of mutations) {
    if (isTooOld(environment, mutation, writtenAt)) continue
    const keyspace = plans.keyspaceOf(mutation)
    const plan = keyspace === null ? null : plans.planOf(mutation, Consistency.ALL, keyspace)
    if (plan !== null && plan.targets.length + plan.dead.length === 0) throw new Error('nobody is known to hold this')
    for (const target of plan?.targets ?? []) {
      const { hostId, endpoint } = target
      const known = alive.get(hostId)
      if (target === plan!.self) own.push(mutation)
      else if (known) known.mutations.push(mutation)
      else alive.set(hostId, { endpoint, mutations: [mutation] })
    }
    for (const hostId of plan?.dead ?? []) dead.set(hostId, [...(dead.get(hostId) ?? []), mutation])
  }
  const parts: Promise<void>[] = []
  if (own.length > 0) parts.push(applyHere(replica, own, writtenAt, environment))
  for (const [hostId, those] of dead) parts.push(hint(environment, hostId, those, writtenAt))
  for (const [hostId, { endpoint, mutations: those }] of alive)
    parts.push(
      sendMutations(environment, endpoint, those, writtenAt).then((reason) => {
        if (reason === FailureReason.COORDINATOR_BEHIND) isRefused = true
        else if (reason !== null) return hint(environment, hostId, those, writtenAt)
        return undefined
      }),
    )
  await Promise.all(parts)
  return !isRefused
}

/** It could bring back what was deleted since: the deletion may be purged by now. Only repair can tell. */
export function isTooOld(environment: CoordinatorEnvironment, mutation: Buffer, writtenAt: number): boolean {
  const seconds = environment.gcGraceSeconds?.(tableKeyOf(mutation)) ?? null
  return seconds !== null && writtenAt + seconds * 1e6 <= environment.clock.wallMicros()
}

async function applyHere(
  replica: Pick<ReplicaWrites, 'takes' | 'apply'>,
  mutations: readonly Buffer[],
  writtenAt: number,
  environment: CoordinatorEnvironment,
): Promise<void> {
  const taken = mutations.filter((mutation) => replica.takes(mutation, writtenAt))
  if (taken.length > 0) await replica.apply(taken, writtenAt, environment.epoch())
}

/** As one message to one replica. Null: it has them; else why not. */
export function sendMutations(
  { messenger, timeouts }: CoordinatorEnvironment,
  endpoint: Endpoint,
  mutations: readonly Buffer[],
  writtenAt: number,
): Promise<number | null> {
  const out = new ByteWriter(256)
  putMutationHead(out, writtenAt, null, [])
  for (const mutation of mutations) putMutation(out, mutation)
  return new Promise((resolve) => {
    messenger.request(endpoint, Verb.MUTATION, out.view(), timeouts.writeMs, {
      replied: () => resolve(null),
      failed: (_from, reason) => resolve(reason),
    })
  })
}

async function hint(
  { hints }: CoordinatorEnvironment,
  hostId: string,
  mutations: readonly Buffer[],
  writtenAt: number,
): Promise<void> {
  if (!hints.mayStore(hostId)) return
  await Promise.all(mutations.map((mutation) => hints.store(hostId, mutation, writtenAt)))
}
