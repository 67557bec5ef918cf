/** What gossip knows: the laws of its merge, differences that leave no holes, its bytes. */
import t from 'tap'
import type { GossipValue } from '../../cluster/gossip/liveness.ts'
import { GossipReader, GossipWriter } from '../../cluster/gossip/messages.ts'
import {
  answerDigests,
  answerWanted,
  applyDifference,
  type Difference,
  differenceFor,
  digestOf,
  hostIdOf,
  type Known,
  makeKnown,
  nodeKey,
} from '../../cluster/gossip/state.ts'
import { BytesError } from '../../lib/base/bytes.ts'
import { createDice, type Dice, forAll } from '../support/random.ts'

const HOST = '6a4b3c2d-0001-4002-8003-0123456789ab'
const KEY = nodeKey(HOST)
const NAMES = ['LOAD', 'STATUS_WITH_PORT', 'SCHEMA', 'DC']

/** The whole life of a node, from which others know some beginning: its states after each thing that it said. */
function life(dice: Dice, generations = 3): Known[] {
  const states: Known[] = []
  for (let generation = 1; generation <= generations; generation++) {
    let state = makeKnown(KEY, HOST, generation, 0, new Map())
    for (let version = 1, end = 1 + dice.int(8); version <= end; version++) {
      const values = new Map<string, GossipValue>(state.values)
      if (dice.chance(0.6)) values.set(dice.pick(NAMES), { value: `${generation} ${version}`, version })
      state = makeKnown(KEY, HOST, generation, dice.chance(0.5) ? version : state.heartbeat, values)
      states.push(state)
    }
  }
  return states
}

const plain = ({ generation, heartbeat, version, said, values }: Known) => ({
  generation,
  heartbeat,
  version,
  said,
  values: [...values].sort(([x], [y]) => (x < y ? -1 : 1)),
})

/** Two states of one node as one: a whole state is a difference from nothing. */
const mergeStates = (mine: Known, theirs: Known): Known => applyDifference(mine, differenceFor(theirs, null)!)!

t.test('merging: order, grouping and repetition do not matter, and it is the later state that stays', (t) => {
  forAll(300, (dice) => {
    const states = life(dice)
    const [a, b, c] = [dice.pick(states), dice.pick(states), dice.pick(states)]
    t.same(plain(mergeStates(a, b)), plain(mergeStates(b, a)))
    t.same(plain(mergeStates(mergeStates(a, b), c)), plain(mergeStates(a, mergeStates(b, c))))
    t.equal(mergeStates(a, a), a)
    t.same(plain(mergeStates(a, b)), plain(states.indexOf(a) > states.indexOf(b) ? a : b))
  })
  t.end()
})

t.test('merging what two nodes of one identity say still does not depend on the order', (t) => {
  forAll(200, (dice) => {
    const random = (): Known => {
      const values = new Map<string, GossipValue>()
      for (const name of NAMES)
        if (dice.chance(0.7)) values.set(name, { value: String(dice.int(5)), version: 1 + dice.int(3) })
      return makeKnown(KEY, HOST, 1 + dice.int(2), dice.int(4), values)
    }
    const [a, b, c] = [random(), random(), random()]
    t.same(plain(mergeStates(a, b)), plain(mergeStates(b, a)))
    t.same(plain(mergeStates(mergeStates(a, b), c)), plain(mergeStates(a, mergeStates(b, c))))
  })
  t.end()
})

t.test('differences, late, repeated and in any order, give states that the node had, without holes', (t) => {
  forAll(400, (dice) => {
    const states = life(dice)
    let mine: Known | undefined
    const onTheWay: Difference[] = []
    for (let step = 0; step < 30; step++) {
      // Somebody who knows a state of the node tells what is newer than what he was told is known here, or elsewhere.
      const theirs = dice.pick(states)
      const asked = dice.chance(0.3) ? dice.pick(states) : (mine ?? null)
      const difference = differenceFor(theirs, asked)
      if (difference) onTheWay.push(difference)
      if (onTheWay.length > 0 && dice.chance(0.8)) mine = applyDifference(mine, dice.pick(onTheWay))
      if (mine) {
        const known = mine
        const same = states.find(
          ({ generation, version }) => generation === known.generation && version === known.version,
        )
        if (!same || JSON.stringify(plain(mine)) !== JSON.stringify(plain(same)))
          t.same(plain(mine), same && plain(same))
      }
    }
  })
  t.end()
})

t.test('one exchange of digests makes two nodes equal, whatever each knew', (t) => {
  forAll(200, (dice) => {
    const lives = Array.from({ length: 6 }, (_, i) => {
      const hostId = `6a4b3c2d-0001-4002-8003-00000000000${i}`
      return life(dice).map((state) => ({ ...state, key: nodeKey(hostId), hostId }))
    })
    const knowing = () => {
      const states = new Map<string, Known>()
      for (const one of lives) if (dice.chance(0.8)) states.set(one[0]!.key, dice.pick(one))
      return states
    }
    const [a, b] = [knowing(), knowing()]
    const take = (states: Map<string, Known>, differences: readonly Difference[]) => {
      for (const difference of differences) {
        const after = applyDifference(states.get(difference.key), difference)
        if (after) states.set(difference.key, after)
      }
    }
    const answer = answerDigests(b, Array.from(a.values(), digestOf), 100)
    take(a, answer.differences)
    take(b, answerWanted(a, answer.wanted, 100))
    const all = (states: Map<string, Known>) => [...states.values()].sort((x, y) => (x.key < y.key ? -1 : 1)).map(plain)
    t.same(all(a), all(b))
    t.same(answerDigests(b, Array.from(a.values(), digestOf), 100), { differences: [], wanted: [] })
  })
  t.end()
})

t.test('bytes: what was written is read; cut or altered ones are an error, or something else, never a crash', (t) => {
  const writer = new GossipWriter()
  forAll(50, (dice) => {
    const cluster = { name: 'Größe', id: dice.chance(0.5) ? HOST : null }
    const states = life(dice)
    const digests = states.map(digestOf)
    const differences = states.map((state) => differenceFor(state, null)!)
    const bytes = Buffer.from(writer.begin(cluster).differences(differences).digests(digests).end())
    const reader = new GossipReader(bytes)
    t.same(reader.cluster, cluster)
    t.same(reader.differences(), differences)
    t.same(reader.digests(), digests)
    const read = (damaged: Buffer) => {
      try {
        const reader = new GossipReader(damaged)
        reader.differences()
        reader.digests()
        return true
      } catch (error) {
        if (!(error instanceof BytesError)) throw error
        return false
      }
    }
    for (let i = 0; i < 20; i++) if (read(bytes.subarray(0, dice.int(bytes.length)))) t.fail('a cut message was read')
    for (let i = 0; i < 20; i++) {
      const damaged = Buffer.from(bytes)
      damaged[dice.int(damaged.length)] = dice.int(256)
      read(damaged)
    }
  })
  t.equal(hostIdOf(KEY), HOST)
  t.end()
})

t.test('a message has a bound, and what finds no room is left for later', (t) => {
  const dice = createDice(1)
  const states = new Map<string, Known>()
  for (let i = 0; i < 50; i++) {
    const key = nodeKey(`6a4b3c2d-0001-4002-8003-0000000000${10 + i}`)
    states.set(key, { ...dice.pick(life(dice)), key })
  }
  t.equal(answerDigests(states, [], 10).differences.length, 10)
  t.equal(
    answerWanted(
      states,
      [...states.values()].map((s) => ({ ...digestOf(s), version: 0, generation: 0 })),
      10,
    ).length,
    10,
  )
  t.end()
})
