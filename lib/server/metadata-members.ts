/**
 * Who decides the entries of the metadata log: up to five nodes, spread over data centres and racks. Pure; part of what entries say, so it may
 * change from one version of the program to the next.
 */
import type { RingNode, Topology } from '../../cluster/ring/topology.ts'

const MEMBERS_MAX = 5

/** Members that are still there stay; places that are free go to where there are fewest. `unfit`: who is not to be one. */
export function chooseMembers(
  topology: Topology,
  before: readonly string[],
  unfit: (hostId: string) => boolean = () => false,
): string[] {
  const fit = [...topology.nodes.values()].filter(({ status, hostId }) => status === 'normal' && !unfit(hostId))
  const members = fit.filter(({ hostId }) => before.includes(hostId)).slice(0, MEMBERS_MAX)
  const others = fit.filter((node) => !members.includes(node))
  while (members.length < MEMBERS_MAX && others.length > 0) {
    const crowding = (node: RingNode): number => {
      const near = members.filter(({ datacenter }) => datacenter === node.datacenter)
      return near.length * (MEMBERS_MAX + 1) + near.filter(({ rack }) => rack === node.rack).length
    }
    let best = 0
    for (let i = 1; i < others.length; i++) if (crowding(others[i]!) < crowding(others[best]!)) best = i
    members.push(...others.splice(best, 1))
  }
  // All that are left are unfit or not whole yet: somebody has to decide.
  return members.length > 0 ? members.map(({ hostId }) => hostId) : [...before]
}
