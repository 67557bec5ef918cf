/** Hinted handoff for the administration interface. Source: statushandoff, enablehandoff, pausehandoff, truncatehints, listpendinghints … of Cassandra's nodetool. */
import type { AdminNode } from './admin-node.ts'
import type { Parameters } from './parameters.ts'
import { AdminError, usage } from './parameters.ts'

export function handoffStatus(node: AdminNode): object {
  const { settings } = node
  const hints = node.hints()
  return {
    running: hints?.isEnabled ?? settings.hinted_handoff_enabled,
    paused: hints?.isPaused ?? false,
    windowMs: settings.max_hint_window,
    counts: hints?.counts() ?? null,
    missed: hints === null ? {} : Object.fromEntries(hints.ledger.report()),
  }
}

/** `enabled`, `paused`, `throttleKib`: what is given is set. A node that is alone has nothing to set. */
export function setHandoff(node: AdminNode, parameters: Parameters): void {
  const hints = node.hints()
  if (hints === null) return
  if (parameters.has('enabled')) hints.isEnabled = parameters.flag('enabled')
  if (parameters.has('paused')) {
    if (parameters.flag('paused')) hints.pause()
    else hints.resume()
  }
  if (parameters.has('throttleKib')) hints.throttleBytes = throttle(parameters.number('throttleKib')!)
}

function throttle(kib: number): number {
  if (!Number.isInteger(kib) || kib < 0) throw usage('throttleKib must be a whole number')
  return kib * 1024
}

/** Of the node at `endpoint` (its address, with or without a port), or of all. */
export async function truncateHints(node: AdminNode, parameters: Parameters): Promise<void> {
  const endpoint = parameters.text('endpoint')
  const hints = node.hints()
  if (endpoint === null) {
    await hints?.truncate()
    return
  }
  const found = [...node.cluster.topology().nodes.values()].find(
    (other) => other.endpoint === endpoint || other.endpoint.replace(/:\d+$/, '') === endpoint,
  )
  if (!found) throw new AdminError('failure', `There is no node at ${endpoint}`)
  await hints?.truncate(found.hostId)
}

/** Nodes for which hints are kept. */
export function pendingHints(node: AdminNode): { pending: object[] } {
  const { cluster } = node
  const hosts = node.hints()?.counts().hosts ?? []
  const pending = hosts
    .filter(({ bytes }) => bytes > 0)
    .map(({ hostId, bytes, files, newestMs, oldestMs }) => {
      const known = cluster.topology().nodes.get(hostId)
      return {
        hostId,
        endpoint: known?.endpoint ?? null,
        rack: known?.rack ?? null,
        datacenter: known?.datacenter ?? null,
        isAlive: cluster.isAlive(hostId),
        files,
        bytes,
        newestMs,
        oldestMs,
      }
    })
  return { pending }
}
