/** Messages about metadata that are none: cut, damaged, of other forms. They are refused, and the log goes on as if nothing had been. */
import t from 'tap'
import { Verb } from '../../../cluster/internode/verbs.ts'
import { decodeMessage, FORMS } from '../../../cluster/metadata/messages.ts'
import { hostId, MetadataWorld } from '../../support/metadata-world.ts'
import { createDice, type Dice, testSeed } from '../../support/random.ts'

const BALLOT = { micros: 1_700_000_000_000_000, node: hostId(1) }
const REQUESTS: Record<number, object> = {
  [Verb.METADATA_DISCOVER]: { clusterName: 'Test Cluster' },
  // Of another cluster, so that what stays whole does no harm.
  [Verb.METADATA_PREPARE]: { clusterId: 'other', seeds: null, epoch: 3, to: hostId(0), ballot: BALLOT },
  [Verb.METADATA_PROPOSE]: {
    clusterId: 'other',
    seeds: null,
    epoch: 3,
    to: hostId(0),
    proposal: { ballot: BALLOT, value: '{}' },
  },
  [Verb.METADATA_COMMIT]: { clusterId: 'other', seeds: null, entry: { epoch: 3, payload: '{}' } },
  [Verb.METADATA_FETCH]: { clusterId: '', since: 0, snapshot: { epoch: 1, part: 0 } },
  [Verb.METADATA_REACHED]: { clusterId: 'other', epoch: 3, hostIds: [hostId(1)] },
}
const STRANGE: readonly unknown[] = [null, -1, 1.5, 2 ** 60, '', 'x', [], {}, [null], true, { kind: '__proto__' }]

/** A message in which one field, however deep, is something else; or bytes that are cut, or changed. */
function damage(message: object, dice: Dice): Buffer {
  const copy = structuredClone(message) as Record<string, unknown>
  let at = copy
  for (;;) {
    const name = dice.pick(Object.keys(at))
    const inner = at[name]
    if (typeof inner === 'object' && inner !== null && !Array.isArray(inner) && dice.chance(0.7)) {
      at = inner as Record<string, unknown>
      continue
    }
    if (dice.chance(0.3)) delete at[name]
    else at[name] = dice.pick(STRANGE)
    break
  }
  const bytes = Buffer.from(JSON.stringify(copy))
  if (dice.chance(0.2)) return bytes.subarray(0, dice.int(bytes.length))
  if (dice.chance(0.2)) bytes[dice.int(bytes.length)] = dice.int(256)
  return bytes
}

t.test('damaged requests', async (t) => {
  const seed = testSeed()
  const dice = createDice(seed)
  const world = new MetadataWorld({ seed: 1, nodes: 3 })
  const story = async (): Promise<void> => {
    await Promise.all([0, 1, 2].map((i) => world.start(i)))
    await Promise.all([...world.nodes.values()].map(({ established }) => established))
    for (let i = 0; i < 1500; i++) {
      const verb = Number(dice.pick(Object.keys(REQUESTS)))
      world.say(1, 0, verb, damage(REQUESTS[verb]!, dice))
      if (i % 100 === 0) await world.sleep(20)
    }
    await world.sleep(5_000)
    const { metadata } = world.nodes.get(0)!
    await metadata.changeTopology({ kind: 'leave-start', hostId: hostId(2) })
    await world.settle()
  }
  await world.until(story(), 120_000)
  t.same(world.reports, [], `TEST_SEED=${seed}`)
  for (const { metadata } of world.nodes.values()) t.equal(metadata.state.epoch, 2)
})

t.test('forms', (t) => {
  const answers: [number, object][] = [
    [Verb.METADATA_PREPARE, { kind: 'promised', accepted: { ballot: BALLOT, value: 'v' }, committed: null }],
    [Verb.METADATA_PREPARE, { kind: 'refused', by: BALLOT }],
    [Verb.METADATA_PREPARE, { kind: 'decided', epoch: 3 }],
    [Verb.METADATA_PROPOSE, { kind: 'accepted' }],
    [Verb.METADATA_PROPOSE, { kind: 'refused', by: BALLOT, never: true }],
    [Verb.METADATA_PROPOSE, { kind: 'absent', why: 'no member' }],
  ]
  for (const [verb, answer] of answers) {
    const bytes = Buffer.from(JSON.stringify(answer))
    t.same(decodeMessage(bytes, FORMS[verb]!.answer), answer)
  }
  const refused: [number, object][] = [
    [Verb.METADATA_PREPARE, { kind: 'accepted' }],
    [Verb.METADATA_PREPARE, { kind: 'constructor' }],
    [Verb.METADATA_PREPARE, { kind: 'refused', by: { ...BALLOT, micros: 2 ** 52 } }],
    [Verb.METADATA_PREPARE, { kind: 'refused', by: { ...BALLOT, node: 'me' } }],
    [Verb.METADATA_PROPOSE, { kind: 'refused', by: BALLOT }],
    [Verb.METADATA_COMMIT, { epoch: -1 }],
  ]
  for (const [verb, answer] of refused) {
    const bytes = Buffer.from(JSON.stringify(answer))
    t.throws(() => decodeMessage(bytes, FORMS[verb]!.answer), { name: 'ReplicaFailure' })
  }
  for (const [verb, request] of Object.entries(REQUESTS))
    t.same(decodeMessage(Buffer.from(JSON.stringify(request)), FORMS[Number(verb)]!.request), request)
  t.end()
})
