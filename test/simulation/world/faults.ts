/** What a plan's faults do to the world, and how it heals. */
import { unreachable } from '../../../lib/base/assert.ts'
import type { Fault } from './plan.ts'
import type { World } from './world.ts'

const RIGHT = { skewMicros: 0, strobe: null, frozenAtMicros: null }

export function applyFault(world: World, fault: Fault): void {
  const { kernel, machines, network, tally } = world
  const { clock } = kernel
  const address = (node: number): string => machines[node]!.address
  world.say(`fault ${JSON.stringify(fault)}`)
  switch (fault.kind) {
    case 'crash': {
      const machine = machines[fault.node]!
      if (machine.phase !== 'off') tally.happened(fault.survival === null ? 'a kill' : 'a power loss')
      machine.crash(fault.survival)
      clock.after(fault.downMs, () => machine.start())
      return
    }
    case 'stop': {
      const machine = machines[fault.node]!
      if (machine.node !== null) tally.happened('a stop')
      machine.stop(() => clock.after(fault.downMs, () => machine.start()))
      return
    }
    case 'pause': {
      const machine = machines[fault.node]!
      if (machine.phase !== 'off') world.troubled('a pause', fault.ms)
      machine.pause()
      clock.after(fault.ms, () => machine.resume())
      return
    }
    case 'block':
      if (fault.from.length > 0 && fault.to.length > 0) world.troubled('a partition, one way', fault.ms)
      for (const from of fault.from) for (const to of fault.to) network.link(address(from), address(to)).block()
      clock.after(fault.ms, () => {
        for (const from of fault.from) for (const to of fault.to) network.link(address(from), address(to)).unblock()
      })
      return
    case 'clog':
      world.troubled('a clogged link', fault.ms)
      network.link(address(fault.from), address(fault.to)).clog(fault.ms)
      return
    case 'reset':
      tally.happened('a reset link')
      network.reset(address(fault.one), address(fault.other))
      return
    case 'bad link': {
      const { latencyMs, lossChance, resetChance } = fault
      world.troubled('a bad link', fault.ms)
      for (const link of [
        network.link(address(fault.one), address(fault.other)),
        network.link(address(fault.other), address(fault.one)),
      ]) {
        const before = { ...link.conditions }
        Object.assign(link.conditions, { latencyMs, lossChance, resetChance })
        clock.after(fault.ms, () => Object.assign(link.conditions, before))
      }
      return
    }
    case 'wall': {
      const machine = machines[fault.node]!
      const skewMicros = fault.skewMs * 1000
      world.troubled(
        `a clock that ${fault.frozen ? 'stands still' : fault.strobeMs > 0 ? 'strobes' : 'is wrong'}`,
        fault.ms,
      )
      machine.setWall({
        skewMicros,
        strobe: fault.strobeMs > 0 ? { periodMs: 50, micros: fault.strobeMs * 1000 } : null,
        frozenAtMicros: fault.frozen ? kernel.clock.wallMicros() + skewMicros : null,
      })
      const { changes } = machine.wallSpan()
      clock.after(fault.ms, () => {
        if (machine.wallSpan().changes === changes) machine.setWall(RIGHT)
      })
      return
    }
    case 'slow disk': {
      const machine = machines[fault.node]!
      machine.extraDiskMs = fault.latencyMs
      world.troubled('a slow disk', fault.ms)
      clock.after(fault.ms, () => {
        machine.extraDiskMs = 0
      })
      return
    }
    case 'failed sync':
      machines[fault.node]!.failsNextSync = true
      return
    case 'full disk': {
      const machine = machines[fault.node]!
      machine.limitDisk(fault.freeBytes)
      world.troubled('a full disk', fault.ms)
      clock.after(fault.ms, () => machine.limitDisk(null))
      return
    }
    case 'failing disk': {
      const machine = machines[fault.node]!
      const { operations, chance } = fault
      machine.diskErrors = { operations, chance }
      world.troubled('a failing disk', fault.ms)
      clock.after(fault.ms, () => {
        machine.diskErrors = null
      })
      return
    }
    case 'bit rot': {
      const machine = machines[fault.node]!
      if (fault.where === 'table') machine.rot('table')
      else {
        machine.crash(null)
        machine.rot('log')
        clock.after(fault.downMs, () => machine.start())
      }
      return
    }
    case 'compact':
      tally.happened('flushed and merged')
      void machines[fault.node]!.compact()
      return
    case 'ambush':
      lieInWait(world, fault)
      return
    default:
      unreachable(fault)
  }
}

function lieInWait(world: World, { survival, downMs, ms }: Extract<Fault, { kind: 'ambush' }>): void {
  const { kernel, machines, network } = world
  const epochs = (): number[] => machines.map(({ node }) => node?.cluster.schema().epoch ?? 0)
  const seen = Math.max(...epochs())
  world.watches.add(function watch() {
    const now = epochs()
    const first = now.findIndex((epoch) => epoch > seen)
    if (first < 0) return
    world.watches.delete(watch)
    // What watches may be called by one of those who are to die.
    kernel.clock.after(0, () => {
      const one = machines[first]!
      world.tally.happened('an ambush')
      world.say(`node${first + 1} alone has epoch ${now[first]}`)
      for (const other of machines) {
        if (other === one || other.phase === 'off') continue
        const links = [network.link(one.address, other.address), network.link(other.address, one.address)]
        for (const link of links) link.block()
        kernel.clock.after(ms, () => {
          for (const link of links) link.unblock()
        })
        other.crash(survival)
        kernel.clock.after(downMs, () => other.start())
      }
    })
  })
}

/** Ends every fault, and starts what is down. What still waits in a plan for its end then changes nothing. */
export function heal(world: World): void {
  const { machines, network, plan } = world
  world.watches.clear()
  for (const one of machines) {
    for (const other of machines) {
      const link = network.link(one.address, other.address)
      link.unblock()
      link.unclog()
      link.conditions.resetChance = 0
      link.conditions.lossChance = Math.min(0.02, plan.network.lossChance)
    }
    one.extraDiskMs = 0
    one.failsNextSync = false
    one.diskErrors = null
    one.limitDisk(null)
    one.restoreFiles()
    one.setWall(RIGHT)
    one.resume()
    one.start()
  }
}
