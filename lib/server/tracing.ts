/**
 * Traced requests become rows of system_traces.sessions and .events, where drivers and cqlsh look for them. Source: the tables of Cassandra 5.
 * Bound values are not kept. Each node stores what it did itself, under the id that the coordinator gave: events of a replica bear its address.
 */

import { type Trace, type Traces, within } from '../../cluster/internode/traced.ts'
import type { Request } from '../../protocol/requests.ts'
import { ByteWriter } from '../base/bytes.ts'
import { stampTail, timeuuidOf } from '../base/uuid.ts'
import type { ClientState, MaybePromise, QueryOptions } from '../cql/statement.ts'
import type { Clock, Log, Random } from '../runtime/runtime.ts'
import { Consistency, consistencyName } from '../types/consistency.ts'
import { addressBytes } from './addresses.ts'
import type { Prepared, Processor, Tracer, TraceSession } from './processor.ts'

/** Seconds for which a trace is kept, as Cassandra's trace_type_query_ttl. */
const TTL_SECONDS = 86_400

const INSERT_SESSION = `INSERT INTO system_traces.sessions (session_id, client, command, coordinator, coordinator_port, duration, parameters, request, started_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ${TTL_SECONDS}`
const INSERT_EVENT = `INSERT INTO system_traces.events (session_id, event_id, activity, source, source_elapsed, source_port, thread)
  VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ${TTL_SECONDS}`

const INTERNAL_CLIENT: ClientState = { keyspace: null, user: null, remoteAddress: 'internal', remotePort: 0 }
const THREAD = 'Native-Transport-Requests-1'
const REPLICA_THREAD = 'Messaging-EventLoop-1'

export interface TracingOptions {
  readonly clock: Clock
  readonly log: Log
  readonly random: Random
  readonly processor: () => Processor
  /** This node, as other nodes know it. */
  readonly address: string
  readonly port: number
}

interface Description {
  readonly command: string
  readonly request: string
  readonly activity: string
  readonly parameters: Map<string, string>
}

interface TraceEvent {
  readonly id: Buffer
  readonly activity: string
  readonly elapsedMicros: number
}

export class QueryTracer implements Tracer, Traces {
  current: Trace | null = null

  readonly #options: TracingOptions
  readonly #random: Random
  /** Node and clock sequence of this process's version 1 UUIDs, and the last time they used. */
  readonly #node: Buffer
  #lastIntervals = 0n

  constructor(options: TracingOptions) {
    this.#options = options
    this.#random = options.random.stream('traces')
    this.#node = stampTail(this.#random.fill(Buffer.alloc(8)))
  }

  begin(client: ClientState, request: Request, prepared: Prepared | null): TraceSession {
    const { clock } = this.#options
    const id = this.#timeuuid()
    const startedMicros = clock.wallMicros()
    const startedMs = clock.monotonicMs()
    const description = describe(request, prepared)
    const events: TraceEvent[] = []
    const happened = (activity: string, elapsedMicros: number): void => {
      events.push({ id: this.#timeuuid(), activity, elapsedMicros: Math.round(elapsedMicros) })
    }
    let isStored = false
    const trace: Trace = {
      id,
      event: (activity) => {
        happened(activity, (clock.monotonicMs() - startedMs) * 1000)
        // What comes in after the answer went out: of replicas that were not waited for.
        if (isStored) this.#report(this.#storeEvent(id, events.at(-1)!, THREAD))
      },
    }
    happened(description.activity, 0)
    return {
      id,
      run: (work) => within(this, trace, work),
      end: (durationMicros) => {
        happened(
          `Executed${prepared?.statement.table ? ` on ${prepared.statement.keyspace}.${prepared.statement.table}` : ''}`,
          durationMicros,
        )
        isStored = true
        this.#report(
          this.#store(id, client, description, { startedMicros, durationMicros: Math.round(durationMicros), events }),
        )
      },
    }
  }

  /** Of another node's statement: each event is stored as it happens, so that it is there when the coordinator says that all is. */
  follow(id: Uint8Array): Trace {
    const { clock } = this.#options
    const startedMs = clock.monotonicMs()
    const session = Buffer.from(id)
    return {
      id,
      event: (activity) => {
        const elapsedMicros = Math.round((clock.monotonicMs() - startedMs) * 1000)
        this.#report(this.#storeEvent(session, { id: this.#timeuuid(), activity, elapsedMicros }, REPLICA_THREAD))
      },
    }
  }

  #report(stored: Promise<void>): void {
    stored.catch((error: unknown) => {
      this.#options.log.warn(
        'tracing.ts',
        `a trace could not be stored: ${error instanceof Error ? error.message : String(error)}`,
      )
    })
  }

  async #store(
    id: Buffer,
    client: ClientState,
    description: Description,
    times: { startedMicros: number; durationMicros: number; events: readonly TraceEvent[] },
  ): Promise<void> {
    const { address, port } = this.#options
    for (const event of [...times.events]) await this.#storeEvent(id, event, THREAD)
    await this.#insert(INSERT_SESSION, [
      id,
      addressBytes(client.remoteAddress),
      text(description.command),
      addressBytes(address),
      int(port),
      int(times.durationMicros),
      textMap(description.parameters),
      text(description.request),
      millis(times.startedMicros / 1000),
    ])
  }

  async #storeEvent(session: Buffer, { id, activity, elapsedMicros }: TraceEvent, thread: string): Promise<void> {
    const { address, port } = this.#options
    await this.#insert(INSERT_EVENT, [
      session,
      id,
      text(activity),
      addressBytes(address),
      int(elapsedMicros),
      int(port),
      text(thread),
    ])
  }

  async #insert(query: string, values: readonly Buffer[]): Promise<void> {
    const options: QueryOptions = {
      protocolVersion: 4,
      consistency: Consistency.ONE,
      serialConsistency: Consistency.SERIAL,
      values,
      pageSize: null,
      pagingState: null,
      timestamp: null,
      nowSeconds: null,
    }
    const processor = this.#options.processor()
    // Traces are not traced.
    const execute = (prepared: Prepared) => processor.execute(prepared, options, null, INTERNAL_CLIENT)
    let done: MaybePromise<unknown>
    const traced = this.current
    this.current = null
    try {
      const prepared = processor.prepare(query, null, INTERNAL_CLIENT)
      done = prepared instanceof Promise ? prepared.then(execute) : execute(prepared)
    } finally {
      this.current = traced
    }
    await done
  }

  #timeuuid(): Buffer {
    const now = BigInt(Math.round(this.#options.clock.wallMicros())) * 10n
    this.#lastIntervals = now > this.#lastIntervals ? now : this.#lastIntervals + 1n
    return timeuuidOf(this.#lastIntervals, this.#node)
  }
}

function describe(request: Request, prepared: Prepared | null): Description {
  const parameters = new Map<string, string>()
  if ('parameters' in request) {
    const { consistency, serialConsistency, pageSize } = request.parameters
    parameters.set('consistency_level', consistencyName(consistency) ?? '')
    if (pageSize !== null) parameters.set('page_size', String(pageSize))
    parameters.set('serial_consistency_level', consistencyName(serialConsistency) ?? '')
  }
  switch (request.kind) {
    case 'query':
      parameters.set('query', request.query)
      return { command: 'QUERY', request: 'Execute CQL3 query', activity: `Parsing ${request.query}`, parameters }
    case 'prepare':
      parameters.set('query', request.query)
      return { command: 'PREPARE', request: 'Preparing CQL3 query', activity: `Parsing ${request.query}`, parameters }
    case 'batch':
      return {
        command: 'BATCH',
        request: 'Execute batch of CQL3 queries',
        activity: `Executing a batch of ${request.items.length} statements`,
        parameters,
      }
    default: {
      const table = prepared?.statement.table
      return {
        command: 'QUERY',
        request: 'Execute CQL3 prepared query',
        activity: `Executing a prepared statement${table ? ` on ${table}` : ''}`,
        parameters,
      }
    }
  }
}

function text(value: string): Buffer {
  return Buffer.from(value)
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function millis(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(Math.floor(value)))
  return bytes
}

function textMap(entries: ReadonlyMap<string, string>): Buffer {
  const writer = new ByteWriter()
  writer.int32(entries.size)
  for (const pair of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const part of pair) {
      const bytes = text(part)
      writer.int32(bytes.length)
      writer.bytes(bytes)
    }
  }
  return writer.copy()
}
