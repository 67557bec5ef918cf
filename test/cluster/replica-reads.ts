/** Reads of replicas that have to look for the metadata first, as many do in one turn after a link was down. */
import t from 'tap'
import { decodeAnswer, encodeReadRequest } from '../../cluster/coordinator/read-codec.ts'
import { ReplicaReads } from '../../cluster/coordinator/replica-reads.ts'
import { TableIds } from '../../cluster/coordinator/table-ids.ts'
import type { Handler, Messenger } from '../../cluster/internode/messenger.ts'
import { Verb } from '../../cluster/internode/verbs.ts'
import { ByteWriter } from '../../lib/base/bytes.ts'
import type { ReadCommand, ReadResult } from '../../storage/model/command.ts'

const TABLE = '5a1c395e-b41f-11e5-9f22-ba0be0483c18'

function commandOf(position: Buffer): ReadCommand {
  return {
    table: TABLE,
    target: { kind: 'partition', position },
    slices: null,
    reversed: false,
    wantStatic: false,
    staticCounts: false,
    limit: 10,
    perPartitionLimit: 10,
    byteLimit: 1_000,
    nowSeconds: 1,
    after: null,
    whole: true,
  }
}

t.test('each gets its own answer, however many are made before the first is sent', async (t) => {
  const handlers = new Map<number, Handler>()
  const replica = {
    read({ target }: ReadCommand): ReadResult {
      const position = target.kind === 'partition' ? target.position : Buffer.alloc(0)
      const partition = { position, key: position.subarray(10), staticRow: null, rows: [], deletion: Buffer.alloc(12) }
      return { partitions: [{ ...partition, rangeTombstones: [] }], more: false, tombstones: 0 }
    },
  }
  const environment = {
    epoch: () => 2,
    keyspaceOf: () => 'ks',
    placement: () => null,
    catchUp: () => Promise.resolve(),
    replica,
  } as unknown as ConstructorParameters<typeof ReplicaReads>[0]
  const reads = new ReplicaReads(environment, { apply: () => undefined })
  reads.register({
    handle: (verb: number, handler: Handler) => void handlers.set(verb, handler),
  } as unknown as Messenger)
  const ask = (key: string, epoch: number): unknown => {
    const out = new ByteWriter(64)
    const position = Buffer.concat([Buffer.alloc(9), Buffer.of(key.length), Buffer.from(key)])
    encodeReadRequest(out, commandOf(position), false, new TableIds())
    const from = { hostId: 'other', endpoint: '10.0.0.2:7000' }
    return handlers.get(Verb.READ)!({ verb: Verb.READ, from, payload: out.copy(), epoch, remainingMs: 1_000 })
  }
  for (const epoch of [1, 3]) {
    const answers = await Promise.all(['one', 'two', 'three'].map((key) => ask(key, epoch)))
    const keys = answers.map((answer) =>
      decodeAnswer(answer as Buffer)
        .partitions[0]!.position.subarray(10)
        .toString(),
    )
    t.same(keys, ['one', 'two', 'three'])
  }
})
