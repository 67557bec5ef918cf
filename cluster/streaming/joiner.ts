/**
 * A node that joins a ring with data in it, or takes over from one that leaves: it fetches all that it will hold, page by page, while writes go on, which reach it as one that is pending
 * and through its sources (source.ts).
 * Always: fetch() resolves only when all sources' data, and every write that a source acknowledged meanwhile, is durable here, and the sources have
 * promised that it stays so until the ring has changed. What fails is tried again: a page after the last one that came, a source whose session is lost
 * from its beginning. Repetition changes nothing.
 */
import { FailureReason } from '../../lib/base/errors.ts'
import { stampUuid, uuidText } from '../../lib/base/uuid.ts'
import type { Clock, Random } from '../../lib/runtime/runtime.ts'
import type { Incoming, Messenger } from '../internode/messenger.ts'
import { Verb } from '../internode/verbs.ts'
import {
  type Cursor,
  decodePage,
  decodeWrite,
  encodeOpen,
  encodePageRequest,
  encodeSession,
  encodeState,
  type Page,
  SessionState,
  START,
} from './messages.ts'
import { type Fetch, StreamError } from './plan.ts'
import type { LocalData } from './source.ts'

export interface JoinerOptions {
  readonly messenger: Messenger
  readonly clock: Clock
  readonly random: Random
  readonly data: Pick<LocalData, 'apply'>
  /** Ids of the tables that a keyspace has now. */
  tablesOf(keyspace: string): readonly string[]
  isAlive(hostId: string): boolean
  /** Bytes a second of all sources together. Infinity: no bound. */
  readonly bytesPerSecond: number
  report(message: string): void
  /** Default 512 KiB. */
  readonly pageBytes?: number
}

export interface FetchCounts {
  bytes: number
  pages: number
  mutations: number
  /** Pages and sessions that were asked for again. */
  retries: number
}

const PAGE_BYTES = 512 * 1024
const REQUEST_MS = 10_000
const RETRY_MS = 100
const RETRY_MAX_MS = 2_000
/** A source that does not answer for so long is given up, with the joining. */
const PATIENCE_MS = 60_000
/** How long a truncation that came here first is waited for at a source: as long as it may take. */
const TRUNCATION_MS = 60_000

interface Gathering {
  readonly fetch: Fetch
  /** Null: not all has come. */
  session: string | null
}

/** A source's session is lost: another is opened. */
class SessionLost extends Error {
  override name = 'SessionLost'
}

export class Joiner {
  readonly #options: JoinerOptions
  /** Tables that were emptied here since this began, and when, in ms since 1970. */
  readonly #truncatedAtMs = new Map<string, number>()
  readonly #sessions = new Set<string>()
  readonly counts: FetchCounts = { bytes: 0, pages: 0, mutations: 0, retries: 0 }
  /** When what was fetched so far may have come, at the rate that is allowed. */
  #paidMs = 0
  #stopped = false
  /** What was gathered, and from whom. */
  #gathered: readonly Gathering[] = []
  /** Whether what is being fetched is still wanted. */
  #isWanted: () => boolean = () => true
  readonly #sleeping = new Set<{ readonly timer: Disposable; readonly wake: () => void }>()
  readonly #chance: Random

  constructor(options: JoinerOptions) {
    this.#options = options
    this.#chance = options.random.stream('streaming')
    options.messenger.handle(Verb.STREAM_WRITE, (message) => this.#write(message))
  }

  /** A table was emptied here: pages that are on their way may be older. */
  truncated(table: string, atMs: number): void {
    this.#truncatedAtMs.set(table, Math.max(atMs, this.#truncatedAtMs.get(table) ?? 0))
  }

  /** Ends what is going on, at its next step. */
  stop(): void {
    this.#stopped = true
    this.#sessions.clear()
    for (const { timer, wake } of this.#sleeping) {
      timer[Symbol.dispose]()
      wake()
    }
    this.#sleeping.clear()
  }

  /** Gathers, and seals. Throws StreamError when it cannot be done now. Nothing else may be fetched meanwhile. */
  async fetch(plan: readonly Fetch[]): Promise<void> {
    await this.#attempt(plan, async (pending) => {
      let due = pending
      while (due.length > 0) {
        await this.#gatherFrom(due)
        // Sealed ones are asked again: a source that has restarted since knows nothing of its session.
        const sealed = await this.#sealAll(pending)
        due = pending.filter((_, index) => !sealed[index])
      }
    })
  }

  /** All that there is now. The sources bring what they write from now on, too, until a write does not come through. Throws StreamError. */
  async gather(plan: readonly Fetch[], isWanted: () => boolean): Promise<void> {
    this.#isWanted = isWanted
    await this.#attempt(plan, (pending) => this.#gatherFrom(pending))
  }

  /** Whether everything came that was to come, and the sources promise that it stays so: else all is to be gathered anew. Throws StreamError. */
  async seal(): Promise<boolean> {
    return (await this.#sealAll(this.#gathered)).every((one) => one)
  }

  /** The ring has changed: what sources still send is not taken as theirs any more. */
  release(): void {
    this.#gathered = []
    this.#sessions.clear()
  }

  async #attempt(plan: readonly Fetch[], run: (pending: readonly Gathering[]) => Promise<unknown>): Promise<void> {
    this.#paidMs = this.#options.clock.monotonicMs()
    const pending = plan.map((fetch): Gathering => ({ fetch, session: null }))
    this.#gathered = pending
    try {
      await run(pending)
    } catch (error) {
      for (const { fetch, session } of pending)
        if (session !== null)
          this.#options.messenger.send(fetch.from.endpoint, Verb.STREAM_CLOSE, encodeSession(session))
      this.release()
      throw error
    }
  }

  async #gatherFrom(pending: readonly Gathering[]): Promise<void> {
    await allOf(
      pending.map(async (one) => {
        one.session = await this.#fetchFrom(one.fetch)
      }),
    )
  }

  #sealAll(pending: readonly Gathering[]): Promise<boolean[]> {
    return allOf(pending.map(({ fetch, session }) => this.#seal(fetch, session!)))
  }

  /** Resolves with the session in which all came. */
  async #fetchFrom(fetch: Fetch): Promise<string> {
    for (;;) {
      const session = await this.#open(fetch)
      try {
        for (const { keyspaces } of fetch.parts)
          for (const keyspace of keyspaces)
            for (const table of this.#options.tablesOf(keyspace))
              await this.#fetchTable(fetch, { session, keyspace, table })
        return session
      } catch (error) {
        if (!(error instanceof SessionLost)) throw error
        this.#sessions.delete(session)
        this.counts.retries++
        this.#options.report(`The session with ${fetch.from.endpoint} is lost: all is fetched from there anew`)
      }
    }
  }

  async #open(fetch: Fetch): Promise<string> {
    const session = uuidText(stampUuid(this.#chance.fill(Buffer.alloc(16)), 4))
    // Writes may come as soon as the source knows of it.
    this.#sessions.add(session)
    await this.#ask(fetch, Verb.STREAM_OPEN, encodeOpen({ session, parts: fetch.parts }))
    return session
  }

  async #fetchTable(
    fetch: Fetch,
    { session, keyspace, table }: { session: string; keyspace: string; table: string },
  ): Promise<void> {
    const { pageBytes = PAGE_BYTES } = this.#options
    const startMs = this.#options.clock.monotonicMs()
    let cursor: Cursor = START
    do {
      // A table that was dropped has nothing to fetch.
      if (!this.#options.tablesOf(keyspace).includes(table)) return
      const payload = encodePageRequest({ session, table, cursor, bytes: pageBytes })
      const answer = await this.#ask(fetch, Verb.STREAM_PAGE, payload)
      const page = decodePage(answer)
      if (!page) throw new SessionLost()
      const waited = this.#options.clock.monotonicMs() - startMs
      if (this.#isOlder(table, page) && waited < TRUNCATION_MS) await this.#sleep(RETRY_MS)
      else {
        await this.#take(page, answer.length)
        if (page.next === null) return
        cursor = page.next
      }
    } while (!this.#stopped)
    throw stoppedError()
  }

  /** The table was truncated here, and at the source not yet. */
  #isOlder(table: string, { truncatedAtMs }: Page): boolean {
    return (this.#truncatedAtMs.get(table) ?? 0) > truncatedAtMs
  }

  async #take({ mutations }: Page, bytes: number): Promise<void> {
    const { clock, data, bytesPerSecond } = this.#options
    // Each in a record of its own: a page may be more than one record of the commit log takes.
    await Promise.all(mutations.map((mutation) => data.apply([mutation])))
    this.counts.pages++
    this.counts.mutations += mutations.length
    this.counts.bytes += bytes
    const nowMs = clock.monotonicMs()
    this.#paidMs = Math.max(this.#paidMs, nowMs - 1_000) + (bytes / bytesPerSecond) * 1_000
    if (this.#paidMs > nowMs) await this.#sleep(this.#paidMs - nowMs)
  }

  async #seal(fetch: Fetch, session: string): Promise<boolean> {
    const [state] = await this.#ask(fetch, Verb.STREAM_SEAL, encodeSession(session))
    return state === SessionState.OK
  }

  /** Asks until there is an answer, or patience ends. */
  async #ask({ from }: Fetch, verb: number, payload: Buffer): Promise<Buffer> {
    const { clock } = this.#options
    const startMs = clock.monotonicMs()
    for (let tries = 0; ; tries++) {
      if (this.#stopped || !this.#isWanted()) throw stoppedError()
      const answer = await this.#request(from.endpoint, verb, payload)
      if (typeof answer !== 'number') return answer
      if (clock.monotonicMs() - startMs > PATIENCE_MS)
        throw new StreamError(
          `${from.endpoint} does not give its data (reason ${answer}), or is down: bring it up first`,
        )
      this.counts.retries++
      await this.#sleep(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** tries))
    }
  }

  /** The answer, or the reason why there is none. */
  #request(endpoint: string, verb: number, payload: Buffer): Promise<Buffer | number> {
    return new Promise((resolve) => {
      this.#options.messenger.request(endpoint, verb, payload, REQUEST_MS, {
        replied: (_from, answer) => resolve(answer.length > 0 ? Buffer.from(answer) : FailureReason.UNKNOWN),
        failed: (_from, reason) => resolve(reason),
      })
    })
  }

  #sleep(ms: number): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, () => {
        this.#sleeping.delete(sleeper)
        resolve()
      })
      const sleeper = { timer, wake: resolve }
      this.#sleeping.add(sleeper)
    })
  }

  /** What a source was told to write. */
  async #write({ payload }: Incoming): Promise<Buffer> {
    const { session, mutations } = decodeWrite(payload)
    if (!this.#sessions.has(session)) return encodeState(SessionState.LOST)
    await this.#options.data.apply(mutations)
    return encodeState(SessionState.OK)
  }
}

function stoppedError(): StreamError {
  return new StreamError('the node was stopped, or the ring has changed, while it fetched data')
}

/** All, or the first failure when all have ended: nothing goes on behind the caller's back. */
async function allOf<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises)
  for (const one of settled) if (one.status === 'rejected') throw one.reason
  return settled.map((one) => (one as PromiseFulfilledResult<T>).value)
}
