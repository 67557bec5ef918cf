/**
 * Nodes that start with one list of seeds at any time, die and come again, often in the moment in which they voted, over links that are cut: there is
 * one cluster in the end, and nobody ever saw another.
 */
import { MetadataWorld, type Sabotage } from './metadata-world.ts'

export interface FoundingReport {
  readonly violation: string | null
  readonly kills: number
  readonly founders: number
}

export async function raceFounding(seed: number, sabotage: Sabotage | null = null): Promise<FoundingReport> {
  const nodes = 2 + (seed % 4)
  const world = new MetadataWorld({ seed, nodes, seeds: Math.max(1, nodes - (seed % 2)), sabotage, syncMs: 20 })
  const { dice } = world
  /** By epoch, what nodes took for the cluster. */
  const seen = new Map<string, number>()
  let kills = 0
  let over = false
  const restarts: Promise<void>[] = []
  const start = async (index: number): Promise<void> => {
    const { metadata } = await world.start(index)
    const note = (): void => {
      const { clusterId, epoch } = metadata.state
      if (clusterId !== '') seen.set(clusterId, Math.min(epoch, seen.get(clusterId) ?? epoch))
    }
    note()
    metadata.watch(note)
  }
  const killAndRestart = async (index: number): Promise<void> => {
    if (!world.nodes.has(index)) return
    kills += 1
    world.kill(index, dice.pick([0, 0.5, null]))
    await world.sleep(dice.int(1500))
    await start(index)
  }
  const mute = async (index: number): Promise<void> => {
    world.muted.add(index)
    await world.sleep(dice.int(6000))
    world.muted.delete(index)
  }
  const story = async (): Promise<void> => {
    world.loss = dice.pick([0, 0.3, 0.3])
    world.delayMsMax = dice.pick([5, 100])
    const deadly = dice.pick([0, 0.2, 0.5])
    world.onVote = (index, proposer) => {
      if (over || !dice.chance(deadly)) return
      const which = dice.int(4)
      if (which < 2) restarts.push(killAndRestart(index))
      if (which > 0) restarts.push(mute(proposer))
      if (which < 3) return
      for (const other of world.nodes.keys()) if (other !== proposer) restarts.push(killAndRestart(other))
    }
    const faults = (async () => {
      while (!over) {
        await world.sleep(dice.int(800))
        const side = new Set(Array.from({ length: nodes }, (_, i) => i).filter(() => dice.chance(0.5)))
        world.isCut = dice.chance(0.4) ? (from, to) => side.has(from) !== side.has(to) : () => false
        if (dice.chance(0.2)) await killAndRestart(dice.int(nodes))
      }
    })()
    await Promise.all(
      Array.from({ length: nodes }, async (_, index) => {
        await world.sleep(dice.int(2000))
        await start(index)
      }),
    )
    await world.sleep(dice.int(8000))
    over = true
    await faults
    await Promise.all(restarts)
    world.loss = 0
    world.delayMsMax = 5
    world.isCut = () => false
    for (let i = 0; i < nodes; i++) if (!world.nodes.has(i)) await start(i)
    await Promise.all([...world.nodes.values()].map(({ established }) => established))
    await world.settle()
  }
  let violation: string | null = null
  try {
    await world.until(story(), 300_000)
  } catch (error) {
    violation = String((error as Error).stack)
  }
  if (seen.size > 1) violation = `${seen.size} clusters`
  const [one] = world.nodes.values()
  return {
    violation: violation ?? world.reports[0] ?? null,
    kills,
    founders: one?.metadata.state.topology.nodes.size ?? 0,
  }
}
