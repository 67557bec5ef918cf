/**
 * May this node take part? Asked before it says a word of itself, of the seeds and of the nodes that it knew when it last ran. What must not be is told
 * to the operator in one line, and the node does not start.
 * Where nobody answers nothing can be found out: gossip looks again later (two nodes with one host id), and so does the metadata log (another
 * cluster of the same name).
 */
import type { Introduction, IntroductionOptions } from '../../../cluster/gossip/introduction.ts'
import { askForIntroductions } from '../../../cluster/gossip/introduction.ts'
import type { Endpoint } from '../../../cluster/internode/messenger.ts'
import type { Topology } from '../../../cluster/ring/topology.ts'
import type { Log } from '../../runtime/runtime.ts'
import { StartError } from '../start-error.ts'

const SOURCE = 'admission.ts'

/** Who does not answer by then is not asked again. */
const ANSWER_MS = 1_000

/** As far as timestamps follow each other (hybrid-clock.ts). */
const SKEW_WARN_MS = 500

/** Beyond this timestamps, expiry and tombstones of this node mean something else than those of the others. */
const SKEW_REFUSE_MS = 10_000

export interface AdmissionOptions extends Pick<IntroductionOptions, 'messenger' | 'clock'> {
  readonly log: Log
  readonly clusterName: string
  readonly seeds: readonly Endpoint[]
  /** The metadata as this node has it: '' and an empty topology when it belongs to no cluster yet. */
  readonly clusterId: string
  readonly topology: Topology
  /** Where nodes of other clusters were met. */
  readonly otherClusters: ReadonlyMap<Endpoint, string>
}

/** Throws StartError when this node must not start. */
export async function checkAdmission(options: AdmissionOptions): Promise<void> {
  const { messenger, clock, log, clusterName, clusterId, topology, seeds } = options
  const { self } = messenger
  const contacts = new Set(seeds)
  for (const { endpoint } of topology.nodes.values()) contacts.add(endpoint)
  contacts.delete(self.endpoint)
  const asking = {
    messenger,
    clock,
    cluster: { name: clusterName, id: clusterId === '' ? null : clusterId },
    timeoutMs: ANSWER_MS,
  }
  const introductions = await askForIntroductions(contacts, asking)
  checkNames(options, introductions.length)
  checkClusterId(introductions, clusterId)
  checkClock(introductions, log)
  checkAddress(introductions, self)
  await checkTwin(introductions, self, (endpoint) => askForIntroductions([endpoint], asking))
}

function checkNames({ otherClusters, seeds, clusterName }: AdmissionOptions, answered: number): void {
  for (const [endpoint, name] of otherClusters) {
    if (answered > 0 && !seeds.includes(endpoint)) continue
    throw new StartError(
      `The node at ${endpoint} is of cluster '${name}', this one of '${clusterName}': set cluster_name, or other seeds`,
    )
  }
}

function checkClusterId(introductions: readonly Introduction[], clusterId: string): void {
  if (clusterId === '') return
  for (const { from, cluster } of introductions) {
    if (cluster.id === null || cluster.id === clusterId) continue
    throw new StartError(
      `This data directory belongs to another cluster (${clusterId}) than the node at ${from} (${cluster.id}), which has the same name: ` +
        'start with an empty one to join it',
    )
  }
}

/** Held against the middle one of those who answered: a single wrong clock among them refuses nobody. */
function checkClock(introductions: readonly Introduction[], log: Log): void {
  const sorted = [...introductions].sort((a, b) => a.aheadMs - b.aheadMs)
  const middle = sorted[sorted.length >> 1]
  if (!middle) return
  const { aheadMs, tookMs, from } = middle
  const offMs = Math.max(0, Math.abs(aheadMs) - tookMs / 2)
  const how = `${(offMs / 1000).toFixed(1)} s ${aheadMs > 0 ? 'behind' : 'ahead of'} that of ${from}`
  if (offMs > SKEW_REFUSE_MS)
    throw new StartError(`The clock of this machine is ${how} (${SKEW_REFUSE_MS / 1000} s at most): set it right first`)
  if (offMs > SKEW_WARN_MS)
    log.warn(
      SOURCE,
      `The clock of this machine is ${how}: the order of writes through different nodes may not be theirs`,
    )
}

function checkAddress(introductions: readonly Introduction[], self: { hostId: string; endpoint: Endpoint }): void {
  for (const { from, nodes } of introductions) {
    const other = nodes.find(
      ({ endpoint, hostId, isUp }) => isUp && endpoint === self.endpoint && hostId !== self.hostId,
    )
    if (!other) continue
    throw new StartError(
      `The address ${self.endpoint} belongs to another node that is up (host id ${other.hostId}, as ${from} says): ` +
        'set listen_address, broadcast_address or storage_port',
    )
  }
}

/** It answers at another address, as itself: what gossip remembers of this node's own former address does not. */
async function checkTwin(
  introductions: readonly Introduction[],
  self: { hostId: string; endpoint: Endpoint },
  ask: (endpoint: Endpoint) => Promise<Introduction[]>,
): Promise<void> {
  const addresses = new Set<Endpoint>()
  for (const { from, hostId, nodes } of introductions) {
    if (hostId === self.hostId) addresses.add(from)
    for (const node of nodes)
      if (node.hostId === self.hostId && node.endpoint !== null && node.endpoint !== self.endpoint)
        addresses.add(node.endpoint)
  }
  for (const endpoint of addresses) {
    const [there] = await ask(endpoint)
    if (there?.hostId !== self.hostId) continue
    throw new StartError(
      `Another node runs at ${endpoint} with the host id of this one (${self.hostId}): was its data directory copied? ` +
        'Stop that one, or start this one with an empty directory',
    )
  }
}

/**
 * After this node has the cluster's metadata: is it still one of its nodes, if it ever was? `memberOf`: the cluster in whose ring it has been, as its
 * data directory says.
 */
export function checkMembership(
  self: { readonly hostId: string },
  memberOf: string | null,
  { clusterId, topology }: { readonly clusterId: string; readonly topology: Topology },
): void {
  if (memberOf === null) return
  if (memberOf !== clusterId)
    throw new StartError(
      `This data directory belongs to another cluster (${memberOf}) than the seeds (${clusterId}): start with an empty one to join theirs`,
    )
  if (!topology.nodes.has(self.hostId))
    throw new StartError(
      `This node (${self.hostId}) was removed from the cluster, and others have its data: start with an empty data directory to join as a new node`,
    )
}
