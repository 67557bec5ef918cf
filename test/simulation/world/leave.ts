/**
 * A node leaves the simulated cluster, whatever happens to it and to those who see to it meanwhile. One that lost its disk starts again at once with an empty one:
 * it is refused, or waits, as long as the node that it was has its place, and then joins as a new one.
 */
import type { Machine } from './node.ts'
import type { Plan } from './plan.ts'
import type { World } from './world.ts'

/** An attempt that says nothing for so long is given up: whoever made it may have died. */
const ATTEMPT_MS = 30_000
const AGAIN_MS = 1_000

/** Resolves when the others know it for gone. */
export async function leave(world: World, { node, how }: NonNullable<Plan['leaving']>): Promise<void> {
  const { kernel, machines } = world
  const machine = machines[node]!
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => void kernel.clock.after(ms, resolve))
  const others = (): Machine[] => machines.filter((other) => other !== machine && other.node !== null)
  while (machine.node === null) await sleep(AGAIN_MS)
  const { hostId } = machine.node
  const isIn = (): boolean => {
    const there = others()
    return there.length === 0 || there.some((other) => other.node!.cluster.topology().nodes.has(hostId))
  }
  world.say(`node${node + 1} leaves: ${how}`)
  if (how !== 'decommission') {
    machine.isGone = true
    machine.crash(null)
  }
  if (how === 'wipe') {
    machine.wipe()
    machine.isGone = false
    machine.start()
  }
  for (let tries = 0; isIn(); tries++) {
    const there = others()
    const by = how === 'decommission' ? machine : there[tries % Math.max(1, there.length)]
    const ring = by?.node?.ring
    if (ring)
      await Promise.race([
        (how === 'decommission' ? ring.decommission(false) : ring.removals.removeNode(hostId)).catch((error: Error) =>
          world.say(`it does not leave: ${error.message}`),
        ),
        sleep(ATTEMPT_MS),
      ])
    await sleep(AGAIN_MS)
  }
  world.say(`node${node + 1} has left`)
  world.tally.happened(`left: ${how}`)
  if (how === 'wipe') return
  machine.isGone = true
  machine.crash(null)
}
