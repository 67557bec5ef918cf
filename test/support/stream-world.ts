/**
 * Nodes with real stores in memory and virtual time, for streaming: requests between them are answered after some ms, get lost, or fail, as the
 * test says. Everything follows from the dice.
 */
import type { Handler, Incoming, Messenger, Payload, ReplyHandler } from '../../cluster/internode/messenger.ts'
import { Joiner, type JoinerOptions } from '../../cluster/streaming/joiner.ts'
import { type LocalData, StreamSource } from '../../cluster/streaming/source.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'
import { createSimulatedClock, type SimulatedClock } from '../../lib/runtime/simulated/clock.ts'
import { createSeededRandom } from '../../lib/runtime/simulated/random.ts'
import { encodePosition } from '../../lib/types/partition-key.ts'
import { ALL_ROWS } from '../../storage/model/command.ts'
import { MutationWriter } from '../../storage/model/mutation.ts'
import { partitionMutations } from '../../storage/model/partition-mutation.ts'
import { openStore, type Store } from '../../storage/store.ts'
import { DEFAULT_TABLE_OPTIONS } from '../../storage/table-options.ts'
import type { Dice } from './random.ts'
import { memoryRuntime } from './storage-runtime.ts'

export const TABLE = '11111111-2222-4333-8444-555555555555'
export const KEYSPACE = 'shop'
const TABLE_BYTES = uuidBytes(TABLE)
const NOW_SECONDS = 1_700_000_000

export interface StreamNode {
  readonly hostId: string
  readonly endpoint: string
  readonly messenger: Messenger
  readonly store: Store
  readonly data: LocalData
  handlers: Map<number, Handler>
  source: StreamSource
  isUp: boolean
  readonly reports: string[]
}

export class StreamWorld {
  readonly clock: SimulatedClock = createSimulatedClock()
  readonly nodes: StreamNode[] = []
  readonly #dice: Dice
  /** What becomes of a request, or of its answer. */
  fate: (verb: number, from: StreamNode, to: StreamNode) => 'arrives' | 'lost' | 'answer lost' = () => 'arrives'
  isJoining: (hostId: string) => boolean = () => true

  constructor(dice: Dice) {
    this.#dice = dice
  }

  async add(hostId: string, endpoint: string): Promise<StreamNode> {
    const store = await openStore({ runtime: memoryRuntime(this.clock), directory: null })
    await store.registerTable(TABLE, {
      keyspace: KEYSPACE,
      name: 'orders',
      durableWrites: true,
      hasClustering: true,
      options: DEFAULT_TABLE_OPTIONS,
    })
    const data: LocalData = {
      apply: (mutations) => store.apply(mutations),
      read: (command) => store.read(command),
      truncatedAtMs: (table) => store.truncations().get(table)?.atMs ?? 0,
    }
    const node: StreamNode = {
      hostId,
      endpoint,
      messenger: null as unknown as Messenger,
      store,
      data,
      handlers: new Map(),
      source: null as unknown as StreamSource,
      isUp: true,
      reports: [],
    }
    Object.assign(node, { messenger: this.#messenger(node) })
    this.nodes.push(node)
    this.restart(node)
    return node
  }

  /** Its sessions are gone, its data is not. */
  restart(node: StreamNode): void {
    node.handlers = new Map()
    node.source = new StreamSource({
      messenger: node.messenger,
      data: node.data,
      keyspaceOf: (table) => (table === TABLE_BYTES.toString('latin1') ? KEYSPACE : null),
      movementOf: (hostId) => (this.isJoining(hostId) ? 'join' : null),
      epoch: () => 0,
      catchUp: async () => {},
      nowSeconds: () => NOW_SECONDS,
      report: (message) => node.reports.push(message),
    })
    node.isUp = true
  }

  joiner(node: StreamNode, over: Partial<JoinerOptions> = {}): Joiner {
    return new Joiner({
      messenger: node.messenger,
      clock: this.clock,
      random: createSeededRandom(this.#dice.int(1e9)),
      data: node.data,
      tablesOf: (keyspace) => (keyspace === KEYSPACE ? [TABLE] : []),
      isAlive: () => true,
      bytesPerSecond: Number.POSITIVE_INFINITY,
      report: (message) => node.reports.push(message),
      pageBytes: 2_000,
      ...over,
    })
  }

  /** Moves time on until the promise settles. */
  async finish<T>(promise: Promise<T>, each: () => void | Promise<void> = () => {}): Promise<T> {
    const over = { is: false }
    const end = () => {
      over.is = true
    }
    promise.then(end, end)
    for (let i = 0; !over.is; i++) {
      if (i > 100_000) throw new Error('it never ends')
      await each()
      // Fine steps while much happens; later it is mostly waiting.
      await this.clock.advance(i < 300 ? 5 : 250)
    }
    return promise
  }

  #messenger(node: StreamNode): Messenger {
    return {
      self: { hostId: node.hostId, endpoint: node.endpoint },
      handle: (verb, handler) => void node.handlers.set(verb, handler),
      send: (to, verb, payload) => {
        this.#request(node, to, verb, copy(payload), { timeoutMs: 1_000, reply: { replied() {}, failed() {} } })
        return true
      },
      request: (to, verb, payload, timeoutMs, reply) =>
        this.#request(node, to, verb, copy(payload), { timeoutMs, reply }),
      counts: () => {
        throw new Error('nobody counts here')
      },
      close: async () => {},
    }
  }

  #request(
    from: StreamNode,
    to: string,
    verb: number,
    payload: Buffer,
    { timeoutMs, reply }: { timeoutMs: number; reply: ReplyHandler },
  ): void {
    let settled = false
    const settle = (act: () => void): void => {
      if (!settled) act()
      settled = true
    }
    const target = this.nodes.find(({ endpoint }) => endpoint === to)
    const delay = () => 1 + this.#dice.int(10)
    if (!target?.isUp) {
      this.clock.after(1, () => settle(() => reply.failed(to, FailureReason.NODE_DOWN)))
      return
    }
    const fate = this.fate(verb, from, target)
    this.clock.after(timeoutMs, () => settle(() => reply.failed(to, FailureReason.TIMEOUT)))
    if (fate === 'lost') return
    this.clock.after(delay(), () => {
      const handler = target.isUp ? target.handlers.get(verb) : undefined
      if (!handler) return
      const incoming: Incoming = {
        verb,
        from: { hostId: from.hostId, endpoint: from.endpoint },
        payload,
        epoch: 0,
        remainingMs: timeoutMs,
      }
      void (async () => await handler(incoming))().then(
        (answer) => {
          if (fate === 'answer lost') return
          const bytes = copy(answer ?? Buffer.alloc(0))
          this.clock.after(delay(), () => settle(() => reply.replied(to, bytes)))
        },
        (error: unknown) => {
          const reason = error instanceof ReplicaFailure ? error.reasonCode : FailureReason.UNKNOWN
          this.clock.after(delay(), () => settle(() => reply.failed(to, reason)))
        },
      )
    })
  }
}

function copy(payload: Payload): Buffer {
  return Buffer.concat(payload instanceof Uint8Array ? [payload] : payload)
}

const writer = new MutationWriter()
const TEXT = 'some value of a cell'

/** Rows, statics, and deletions of each kind, in one of a hundred partitions. */
export function randomMutation(dice: Dice, timestamp: number): Buffer {
  const key = Buffer.from(`order ${dice.int(100)}`)
  const token = new Int32Array(2)
  encodePosition(key, token)
  writer.begin(TABLE_BYTES, token[0]!, token[1]!, key)
  const clustering = () => Buffer.from([dice.int(20)])
  const roll = dice.int(20)
  if (roll === 0) writer.partitionDeletion(0, timestamp, NOW_SECONDS - 20 * 86_400)
  else if (roll < 3) writer.rangeTombstone(clustering(), Buffer.from([25]), 0, timestamp, NOW_SECONDS - 20 * 86_400)
  else if (roll < 5) {
    writer.beginRow(clustering())
    writer.row.deletion(0, timestamp, NOW_SECONDS)
    writer.endRow()
  } else if (roll < 7) {
    writer.beginStaticRow()
    writer.row.cell(1, 0, timestamp, Buffer.from(`${TEXT} ${timestamp}`))
    writer.endRow()
  } else {
    writer.beginRow(clustering())
    writer.row.liveness(0, timestamp, 0, 0)
    if (dice.chance(0.2)) writer.row.tombstone(2, 0, timestamp, NOW_SECONDS)
    else writer.row.cell(2, 0, timestamp, Buffer.from(`${TEXT} ${timestamp}`))
    if (dice.chance(0.2))
      writer.row.expiringCell(3, 0, timestamp, 100, NOW_SECONDS + dice.int(200) - 100, Buffer.from('short-lived'))
    writer.endRow()
  }
  return Buffer.from(writer.finish())
}

/** All that a node has between two positions, deletions too, as hex. */
export async function dump(store: Store, start: Buffer | null, end: Buffer | null): Promise<string[]> {
  const result = await store.read({
    ...ALL_ROWS,
    table: TABLE,
    target: { kind: 'range', start, end },
    wantStatic: true,
    staticCounts: true,
    nowSeconds: NOW_SECONDS,
    whole: true,
    keepsPurgeable: true,
  })
  return result.partitions.flatMap((data) =>
    partitionMutations(TABLE_BYTES, data, Number.POSITIVE_INFINITY).map((mutation) => mutation.toString('hex')),
  )
}

export function hostIdAt(index: number): string {
  return uuidText(Buffer.from(`aaaaaaaabbbb4ccc8ddd0000000000${String(10 + index)}`, 'hex'))
}
