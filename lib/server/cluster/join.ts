/**
 * How a node that belongs to a cluster comes to be in its ring, and stays there under its present address.
 * Always: it counts as a replica only when it has all that it is to hold; nodes join and leave one after the other.
 */

import { tokenCount } from '../../../cluster/ring/allocation.ts'
import { type RingNode, type Topology, TopologyError } from '../../../cluster/ring/topology.ts'
import { StreamError } from '../../../cluster/streaming/plan.ts'
import type { Clock, Log, Random } from '../../runtime/runtime.ts'
import type { MetadataLog } from '../metadata-log.ts'
import { StartError } from '../start-error.ts'
import { changeRing, sleep } from './change-ring.ts'
import { tokensFor } from './self.ts'

export interface JoinOptions {
  readonly self: RingNode
  readonly metadata: MetadataLog
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly numTokens: number
  readonly streaming: Streaming
  isAlive(hostId: string): boolean
}

/** What joining needs of the node's data. */
export interface Streaming {
  clear(): Promise<void>
  fetch(hostId: string): Promise<void>
  /** Resolves when what joining needed is over; nobody waits for it. */
  joined(hostId: string): Promise<void>
}

const SOURCE = 'join.ts'

/** Another node that joins or leaves is looked at again so often. */
const OTHERS_EVERY_MS = 100

/** One that does so and is down is waited for so long: it may be about to start again. */
const OTHERS_DOWN_MS = 30_000

/** Resolves when this node is in the ring, as a replica of what it owns. Rejects with a StartError. */
export async function joinRing(options: JoinOptions): Promise<void> {
  const { self, metadata, log, numTokens } = options
  const known = metadata.state.topology.nodes.get(self.hostId)
  const wanted = self.tokens.length > 0 ? self.tokens.length : tokenCount(numTokens, self.capacity)
  if (known && known.tokens.length !== wanted)
    log.warn(
      SOURCE,
      `The settings ask for ${wanted} tokens: this node keeps the ${known.tokens.length} that it came to the ring with`,
    )
  try {
    if (known && !isSamePlace(known, self)) await move(options)
    if (known === undefined || known.status === 'joining') await join(options)
  } catch (error) {
    if (error instanceof TopologyError) throw new StartError(error.message)
    if (error instanceof StreamError) throw new StartError(`${error.message}, or remove it, and start this node again`)
    throw error
  }
  log.info(SOURCE, `Node ${self.endpoint} state jump to NORMAL`)
}

/** The same node at another address: the others follow. */
async function move(options: JoinOptions): Promise<void> {
  const { self, log } = options
  const { hostId, endpoint, clientAddress, clientPort } = self
  await changeRing(options, ({ topology }) => {
    const there = topology.nodes.get(hostId)
    if (there === undefined || isSamePlace(there, self)) return null
    return { kind: 'address', hostId, endpoint, clientAddress, clientPort }
  })
  log.info(SOURCE, `This node was at another address when it last ran: it is at ${endpoint} now`)
}

async function join(options: JoinOptions): Promise<void> {
  const { self, log, streaming } = options
  const { hostId } = self
  log.info(SOURCE, 'JOINING: waiting for its turn')
  // Also when it was joining already: an earlier attempt to finish, of which nobody knows, is over when this is decided.
  if (!(await startJoin(options))) return
  await streaming.clear()
  log.info(SOURCE, 'JOINING: fetching data')
  await streaming.fetch(hostId)
  await changeRing(options, ({ topology }) =>
    topology.nodes.get(hostId)?.status === 'joining' ? { kind: 'join-finish', hostId } : null,
  )
  void streaming.joined(hostId)
}

/** False: it turned out to have joined. */
async function startJoin(options: JoinOptions): Promise<boolean> {
  const { self, metadata, clock, random, numTokens, isAlive } = options
  const { hostId } = self
  const startMs = clock.monotonicMs()
  for (;;) {
    let other: RingNode | null = null
    await changeRing(options, ({ topology }) => {
      const present = topology.nodes.get(hostId)
      other = otherMoving(topology, hostId)
      if (other !== null || (present && present.status !== 'joining')) return null
      const tokens = present?.tokens ?? tokensFor(topology, self, numTokens, random)
      return { kind: 'join-start', node: { ...self, tokens, status: 'joining' } }
    })
    const waitsFor = other as RingNode | null
    if (waitsFor === null) return metadata.state.topology.nodes.get(hostId)?.status === 'joining'
    if (clock.monotonicMs() - startMs > OTHERS_DOWN_MS && !isAlive(waitsFor.hostId))
      throw new StartError(
        `Another node, ${waitsFor.endpoint} (${waitsFor.hostId}), is ${waitsFor.status} and is down: start it again, or remove it, first`,
      )
    await sleep(clock, OTHERS_EVERY_MS)
  }
}

function otherMoving(topology: Topology, hostId: string): RingNode | null {
  for (const node of topology.nodes.values()) if (node.status !== 'normal' && node.hostId !== hostId) return node
  return null
}

function isSamePlace(a: RingNode, b: RingNode): boolean {
  return a.endpoint === b.endpoint && a.clientAddress === b.clientAddress && a.clientPort === b.clientPort
}
