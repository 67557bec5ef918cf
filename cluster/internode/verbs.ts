/**
 * What messages are about, by number. Numbers are of the wire: they are never given another meaning. Below 20 is what the cluster lives by: it has a
 * lane of its own, and never waits behind data.
 */
export const Verb = {
  GOSSIP_SYN: 1,
  GOSSIP_ACK: 2,
  GOSSIP_ACK2: 3,
  GOSSIP_ECHO: 4,
  GOSSIP_SHUTDOWN: 5,
  GOSSIP_HELLO: 6,
  METADATA_DISCOVER: 10,
  METADATA_PREPARE: 11,
  METADATA_PROPOSE: 12,
  METADATA_COMMIT: 13,
  METADATA_FETCH: 14,
  METADATA_REACHED: 15,
  MUTATION: 20,
  READ: 21,
  RANGE_READ: 22,
  COUNTER: 23,
  HINT: 24,
  BATCH_STORE: 25,
  BATCH_REMOVE: 26,
  TRUNCATE: 27,
  READ_REPAIR: 28,
  /** A mutation that a node of this data centre hands on for a coordinator elsewhere, and what became of it. */
  MUTATION_FORWARDED: 29,
  PAXOS_PREPARE: 30,
  PAXOS_PROPOSE: 31,
  PAXOS_COMMIT: 32,
  PAXOS_FORGET: 33,
  PAXOS_SETTLED: 34,
  PAXOS_SETTLE: 35,
  PAXOS_READ: 36,
  STREAM_OPEN: 40,
  STREAM_PAGE: 41,
  STREAM_SEAL: 42,
  STREAM_CLOSE: 43,
  STREAM_WRITE: 44,
  STREAM_MIRROR: 45,
  /** Whether the receiver has all that it will hold when a node has left. */
  TAKE_OVER: 46,
  MUTATION_DONE: 50,
  /** To be kept for a node that is away, in whose place the receiver stands. */
  STAND_IN: 51,
  CAUSAL: 52,
  /** A request of a traced statement: the trace's id, a verb, and what is said under that one. */
  TRACED: 53,
  /** Hints of a node that leaves, to be kept by the receiver from now on. */
  HAND_ON: 54,
} as const

/** Verbs below go by the lane of gossip. */
export const URGENT_VERBS_END = 20

/** One byte on the wire. */
export const VERB_MAX = 255

const NAMES = new Map<number, string>(Object.entries(Verb).map(([name, verb]) => [verb, name]))

export function verbName(verb: number): string {
  return NAMES.get(verb) ?? `VERB_${verb}`
}
