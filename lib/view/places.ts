/** Where the rows of views are, when not all of them are this node's own: what a node in a cluster gives to its views. */

export interface ViewPlaces {
  /**
   * Divides what the write to a partition of a base table means for its views among the nodes that hold it. The partition is locked, so each row's changes come
   * in their order.
   */
  place(keyspace: string, basePosition: Buffer, mutations: readonly Buffer[]): PlacedChanges
}

export interface PlacedChanges {
  /** To go into the record of the base table's write: what this node holds, and a note of what others are to get. */
  readonly here: readonly Buffer[]
  /** To be called when that record is durable; null: others get nothing. */
  readonly send: (() => void) | null
}

/** A node alone holds all. */
export const ALONE: ViewPlaces = { place: (_keyspace, _position, here) => ({ here, send: null }) }
