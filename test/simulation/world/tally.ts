/** How often each kind of fault really happened in a run, and each kind of request was done: with all well, and while something was wrong. */

export class Tally {
  readonly #faults = new Map<string, number>()
  readonly #done = new Map<string, { calm: number; troubled: number }>()

  happened(fault: string, times = 1): void {
    if (times > 0) this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + times)
  }

  done(request: string, isTroubled: boolean): void {
    const counts = this.#done.get(request) ?? { calm: 0, troubled: 0 }
    if (isTroubled) counts.troubled++
    else counts.calm++
    this.#done.set(request, counts)
  }

  add(other: Tally): void {
    for (const [fault, times] of other.#faults) this.happened(fault, times)
    for (const [request, { calm, troubled }] of other.#done) {
      const counts = this.#done.get(request) ?? { calm: 0, troubled: 0 }
      this.#done.set(request, { calm: counts.calm + calm, troubled: counts.troubled + troubled })
    }
  }

  get lines(): string[] {
    const ascending = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1)
    return [
      ...[...this.#faults].sort(ascending).map(([fault, times]) => `${String(times).padStart(8)}  ${fault}`),
      ...[...this.#done]
        .sort(ascending)
        .map(
          ([request, { calm, troubled }]) =>
            `${String(calm).padStart(8)} ${String(troubled).padStart(8)}  ${request}: done, and done while something was wrong`,
        ),
    ]
  }
}

/** What a statement is, without its values and whatever is counted up in its names. */
export function kindOf(statement: string): string {
  const verb = /^\w+(?: (?:TABLE|KEYSPACE|INDEX|MATERIALIZED VIEW))?/.exec(statement)?.[0] ?? statement
  const table = /\b(?:sim|system_schema)\.([a-z_]+)/.exec(statement)?.[1] ?? ''
  const isConditional = / IF (?!NOT EXISTS sim)/.test(statement)
  const clauses = [
    / TTL /.test(statement) ? 'with a TTL' : '',
    / VCLOCK \?/.test(statement) && !isConditional ? 'with a context' : '',
    isConditional ? 'if' : '',
    / c >= /.test(statement) ? 'of a slice' : '',
    / DESC/.test(statement) ? 'backwards' : '',
    verb === 'SELECT' && !/ WHERE /.test(statement) ? 'of all' : '',
  ]
  return [verb, table, ...clauses].filter((word) => word !== '').join(' ')
}
