/**
 * A node that gives its data to one that joins, or that takes over from one that leaves: page by page when it is asked, and, from the session's beginning, every write that it takes itself in
 * the ranges that it gives, whoever sent it (coordinators that do not know of the joining yet, hints, repairs).
 *
 * Always: what this node acknowledged in those ranges, the joining one has, or will have before it counts. A write is acknowledged here when it is
 * there too; if it cannot be brought there the session is lost, of which the joining node hears with its next question and begins anew. Once the
 * session is sealed it asks no more, so from then on such a write is not acknowledged, until the ring has changed.
 */
import { BytesError } from '../../lib/base/bytes.ts'
import { FailureReason, ReplicaFailure } from '../../lib/base/errors.ts'
import { uuidBytes } from '../../lib/base/uuid.ts'
import { ALL_ROWS, type ReadCommand, type ReadPoint, type ReadResult } from '../../storage/model/command.ts'
import { TABLE_ID_BYTES, tableKeyOf } from '../../storage/model/mutation.ts'
import { partitionMutations } from '../../storage/model/partition-mutation.ts'
import type { Endpoint, Incoming, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import {
  type Cursor,
  decodeMutations,
  decodeOpen,
  decodePageRequest,
  decodeSession,
  encodePage,
  encodeState,
  encodeWrite,
  type PageRequest,
  SessionState,
} from './messages.ts'
import type { Range } from './plan.ts'

/** The data that a node holds itself: below coordinators and views, above storage. */
export interface LocalData {
  apply(mutations: readonly Buffer[]): Promise<void> | undefined
  read(command: ReadCommand): ReadResult | Promise<ReadResult>
  /** When the table was last emptied, in ms since 1970; 0: never. */
  truncatedAtMs(table: string): number
}

export interface StreamSourceOptions {
  readonly messenger: Messenger
  readonly data: LocalData
  /** Of the table that a mutation names (its first 16 bytes as latin1). */
  keyspaceOf(tableIdLatin1: string): string | null
  /** For which change of the ring the node fetches data, as this node knows; null: for none. */
  movementOf(hostId: string): string | null
  epoch(): number
  catchUp(epoch: number): Promise<void>
  nowSeconds(): number
  report(message: string): void
}

/** How long a write waits for the node that joins. */
const FORWARD_MS = 2_000

const PAGE_BYTES_MAX = 8 * 1024 * 1024

interface Session {
  readonly id: string
  readonly joiner: string
  /** The change of the ring that it is for. */
  readonly movement: string
  readonly endpoint: Endpoint
  /** By keyspace: ascending, disjoint. */
  readonly ranges: ReadonlyMap<string, readonly Range[]>
  state: 'open' | 'sealed'
}

export class StreamSource {
  readonly #options: StreamSourceOptions
  readonly #data: LocalData
  /** By the joining node's host id: it has one session here at a time. */
  readonly #sessions = new Map<string, Session>()

  constructor(options: StreamSourceOptions) {
    this.#options = options
    this.#data = options.data
    const { messenger } = options
    messenger.handle(Verb.STREAM_OPEN, (message) => this.#open(message))
    messenger.handle(Verb.STREAM_PAGE, ({ payload }) => this.#page(decodePageRequest(payload)))
    messenger.handle(Verb.STREAM_SEAL, ({ payload }) => this.#seal(decodeSession(payload)))
    messenger.handle(Verb.STREAM_CLOSE, ({ payload }) => this.#close(decodeSession(payload)))
    messenger.handle(Verb.STREAM_MIRROR, ({ payload }) => this.#mirrored(decodeMutations(payload)))
  }

  get sessions(): number {
    return this.#sessions.size
  }

  apply(mutations: readonly Buffer[]): Promise<void> | undefined {
    if (this.#sessions.size === 0) return this.#data.apply(mutations)
    const done = this.#data.apply(mutations)
    const forwarded = this.#forward(mutations)
    if (forwarded.length === 0) return done
    return Promise.all([done, ...forwarded]).then(nothing)
  }

  /** After each change of the ring: when what it was for is done, or will not be, a session is over. */
  ringChanged(): void {
    for (const { joiner, movement } of this.#sessions.values())
      if (this.#options.movementOf(joiner) !== movement) this.#sessions.delete(joiner)
  }

  /** Each rejects when its session is sealed and the write could not be brought there. */
  #forward(mutations: readonly Buffer[]): Promise<void>[] {
    const forwarded: Promise<void>[] = []
    for (const session of this.#sessions.values()) {
      const covered = mutations.filter((mutation) => this.#covers(session, mutation))
      if (covered.length > 0) forwarded.push(this.#send(session, covered))
    }
    return forwarded
  }

  #covers({ ranges }: Session, mutation: Buffer): boolean {
    const keyspace = this.#options.keyspaceOf(tableKeyOf(mutation))
    const own = keyspace === null ? undefined : ranges.get(keyspace)
    return own !== undefined && isWithin(own, mutation.subarray(TABLE_ID_BYTES, TABLE_ID_BYTES + 8))
  }

  #send(session: Session, mutations: readonly Buffer[]): Promise<void> {
    const payload = encodeWrite(session.id, mutations)
    return new Promise((resolve, reject) => {
      this.#options.messenger.request(session.endpoint, Verb.STREAM_WRITE, payload, FORWARD_MS, {
        replied: (_from, answer) => {
          if (answer[0] === SessionState.OK) resolve()
          else this.#missed(session, resolve, reject)
        },
        failed: () => this.#missed(session, resolve, reject),
      })
    })
  }

  #missed(session: Session, resolve: () => void, reject: (error: Error) => void): void {
    const { joiner, endpoint, state } = session
    // Meanwhile it may have joined, given up, or begun anew with another session.
    if (this.#sessions.get(joiner) !== session) resolve()
    else if (state === 'open') {
      this.#sessions.delete(joiner)
      this.#options.report(`A write did not reach ${endpoint}: it has to fetch from here anew`)
      resolve()
    } else
      reject(
        new ReplicaFailure('TIMEOUT', FailureReason.TIMEOUT, `${endpoint}, a replica to be, does not take a write`),
      )
  }

  async #open({ payload, from, epoch }: Incoming): Promise<Buffer> {
    const { session: id, parts } = decodeOpen(payload)
    // The tables of the keyspaces must be known, and what the node fetches for.
    if (epoch > this.#options.epoch()) await this.#options.catchUp(epoch)
    const movement = this.#options.movementOf(from.hostId)
    if (movement === null)
      throw new ReplicaFailure(
        'INCOMPATIBLE_SCHEMA',
        FailureReason.INCOMPATIBLE_SCHEMA,
        `${from.endpoint} takes no place in the ring`,
      )
    const ranges = new Map<string, readonly Range[]>()
    for (const part of parts) for (const keyspace of part.keyspaces) ranges.set(keyspace, part.ranges)
    this.#sessions.set(from.hostId, {
      id,
      joiner: from.hostId,
      movement,
      endpoint: from.endpoint,
      ranges,
      state: 'open',
    })
    this.#options.report(`Giving data to ${from.endpoint}`)
    return encodeState(SessionState.OK)
  }

  #find(id: string): Session | null {
    for (const session of this.#sessions.values()) if (session.id === id) return session
    return null
  }

  /** As many ranges as fill it: most have little in most tables. */
  async #page({ session: id, table, cursor, bytes }: PageRequest): Promise<Buffer> {
    const session = this.#find(id)
    if (!session) return encodeState(SessionState.LOST)
    const tableId = uuidBytes(table)
    const keyspace = this.#options.keyspaceOf(tableId.toString('latin1'))
    const ranges = (keyspace === null ? undefined : session.ranges.get(keyspace)) ?? []
    // Asked before the reads: what is read may be of after a truncation that it does not tell of, never the other way round.
    const truncatedAtMs = this.#data.truncatedAtMs(table)
    const mutations: Buffer[] = []
    let room = Math.min(bytes, PAGE_BYTES_MAX)
    let next: Cursor | null = cursor
    while (next !== null && room > 0) {
      const range: Range | undefined = ranges[next.range]
      if (range === undefined) next = null
      else {
        const result = await this.#read(table, { range, after: next.after, bytes: room })
        for (const data of result.partitions)
          for (const mutation of partitionMutations(tableId, data)) {
            mutations.push(mutation)
            room -= mutation.length
          }
        const after = nextPoint(result)
        next = after === null ? { range: next.range + 1, after: null } : { range: next.range, after }
      }
    }
    const page = encodePage({ truncatedAtMs, next, mutations })
    return this.#find(id) === session ? page : encodeState(SessionState.LOST)
  }

  #read(
    table: string,
    { range, after, bytes }: { range: Range; after: ReadPoint | null; bytes: number },
  ): ReadResult | Promise<ReadResult> {
    return this.#data.read({
      ...ALL_ROWS,
      table,
      target: { kind: 'range', start: range.start, end: range.end },
      wantStatic: true,
      staticCounts: true,
      byteLimit: bytes,
      nowSeconds: this.#options.nowSeconds(),
      after,
      whole: true,
      keepsPurgeable: true,
    })
  }

  #seal(id: string): Buffer {
    const session = this.#find(id)
    if (!session) return encodeState(SessionState.LOST)
    session.state = 'sealed'
    return encodeState(SessionState.OK)
  }

  /** Of a node that has joined, for those who do not know of it yet. It has them itself. */
  async #mirrored(mutations: readonly Buffer[]): Promise<Buffer> {
    await this.#data.apply(mutations)
    return encodeState(SessionState.OK)
  }

  #close(id: string): Buffer {
    const session = this.#find(id)
    if (session) this.#sessions.delete(session.joiner)
    return encodeState(SessionState.OK)
  }
}

/** Where a whole read goes on; null: it has come to its end. */
function nextPoint({ partitions, more }: ReadResult): ReadPoint | null {
  const last = partitions.at(-1)
  if (!last) {
    if (more) throw new BytesError('a read that gave nothing has more')
    return null
  }
  const cut = last.cut ?? null
  if (cut !== null) return { position: last.position, clustering: cut, partitionDone: false, rowsGiven: 0 }
  return more ? { position: last.position, clustering: null, partitionDone: true, rowsGiven: 0 } : null
}

/** `token`: the eight bytes that a position begins with. */
export function isWithin(ranges: readonly Range[], token: Buffer): boolean {
  let from = 0
  let to = ranges.length
  while (from < to) {
    const middle = (from + to) >>> 1
    const { end } = ranges[middle]!
    if (end !== null && Buffer.compare(end, token) <= 0) from = middle + 1
    else to = middle
  }
  const range = ranges[from]
  return range !== undefined && (range.start === null || Buffer.compare(range.start, token) <= 0)
}

function nothing(): void {}
