/** When the ring changed last, as this node knows it. */
import type { MetadataLog } from '../metadata-log.ts'

export class RingChanges implements Disposable {
  /** The epoch of the last change of who holds what. Of what changed before the start nothing is known but that it is not later. */
  epoch: number
  readonly #watching: Disposable

  constructor(metadata: Pick<MetadataLog, 'state' | 'watch'>) {
    this.epoch = metadata.state.epoch
    this.#watching = metadata.watch((after, before) => {
      if (after.topology !== before.topology) this.epoch = after.epoch
    })
  }

  [Symbol.dispose](): void {
    this.#watching[Symbol.dispose]()
  }
}
