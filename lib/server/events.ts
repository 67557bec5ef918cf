/**
 * Who registered for which events, and telling them. Source: native_protocol_v5.spec §4.1.7, §4.2.6.
 * Always: a sink is told of an event at most once, and of none after it was removed.
 */
import type { EventType } from '../../protocol/opcodes.ts'
import type { ServerEvent } from '../../protocol/responses.ts'

/** A connection, as events see it. */
export interface EventSink {
  sendEvent(event: ServerEvent): void
}

export class ClientEvents {
  readonly #sinks = new Map<EventType, Set<EventSink>>([
    ['TOPOLOGY_CHANGE', new Set()],
    ['STATUS_CHANGE', new Set()],
    ['SCHEMA_CHANGE', new Set()],
  ])

  register(sink: EventSink, types: readonly EventType[]): void {
    for (const type of types) this.#sinks.get(type)?.add(sink)
  }

  remove(sink: EventSink): void {
    for (const sinks of this.#sinks.values()) sinks.delete(sink)
  }

  /** Sends to every connection that registered for its kind. */
  broadcast(event: ServerEvent): void {
    for (const sink of this.#sinks.get(event.kind) ?? []) sink.sendEvent(event)
  }

  /** How many connections registered for a kind. */
  count(type: EventType): number {
    return this.#sinks.get(type)?.size ?? 0
  }
}
