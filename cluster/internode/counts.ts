/** What the messenger did, by verb: plain additions where it is done, objects when somebody asks. */
import type { VerbCounts } from './messenger.ts'
import { VERB_MAX } from './verbs.ts'

export class VerbCounters {
  readonly sent = new Float64Array(VERB_MAX + 1)
  readonly received = new Float64Array(VERB_MAX + 1)
  readonly replied = new Float64Array(VERB_MAX + 1)
  readonly failed = new Float64Array(VERB_MAX + 1)
  readonly timedOut = new Float64Array(VERB_MAX + 1)
  readonly dropped = new Float64Array(VERB_MAX + 1)

  /** Of the verbs that were used. */
  counts(): VerbCounts[] {
    const counts: VerbCounts[] = []
    for (let verb = 0; verb <= VERB_MAX; verb++) {
      const sent = this.sent[verb]!
      const received = this.received[verb]!
      const dropped = this.dropped[verb]!
      if (sent + received + dropped === 0) continue
      const replied = this.replied[verb]!
      counts.push({
        verb,
        sent,
        received,
        replied,
        failed: this.failed[verb]!,
        timedOut: this.timedOut[verb]!,
        dropped,
      })
    }
    return counts
  }
}
