/** Cuts a failing plan down to one that still fails: fewer faults, workloads, clients, a better network, a shorter run. */
import { shrink } from '../../support/model/shrink.ts'
import type { Plan } from './plan.ts'
import { runPlan } from './world.ts'

const TRIES_MAX = 60

export async function shrinkPlan(plan: Plan, say: (line: string) => void): Promise<Plan> {
  let left = plan
  let tries = 0
  const fails = async (smaller: Plan): Promise<boolean> => {
    if (++tries > TRIES_MAX) return false
    return (await runPlan(smaller)).problems.length > 0
  }
  const attempt = async (what: string, smaller: Plan): Promise<void> => {
    if (JSON.stringify(smaller) === JSON.stringify(left) || !(await fails(smaller))) return
    left = smaller
    say(`  still fails with ${what}`)
  }
  await attempt('no faults', { ...left, faults: [] })
  if (left.faults.length > 0) {
    const faults = await shrink(left.faults, (part) => fails({ ...left, faults: part }), 25)
    left = { ...left, faults }
    say(`  still fails with ${faults.length} faults`)
  }
  for (const workload of left.workloads)
    if (left.workloads.length > 1) await attempt(`${workload} alone`, { ...left, workloads: [workload] })
  await attempt('one client', { ...left, clients: 1 })
  if (left.clients > 2) await attempt('two clients', { ...left, clients: 2 })
  await attempt('a good network', {
    ...left,
    network: { latencyMs: 0.3, wanLatencyMs: 10, lossChance: 0, fragmentChance: 0 },
  })
  await attempt('a fast disk', { ...left, disk: { syncMs: 0, otherMs: 0 } })
  await attempt('right clocks', { ...left, driftMicros: left.driftMicros.map(() => 0), latenessMs: 0 })
  for (const seconds of [left.seconds / 8, left.seconds / 4, left.seconds / 2])
    await attempt(`${seconds} seconds`, { ...left, seconds })
  return left
}
