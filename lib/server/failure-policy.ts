/**
 * What the node does when its disk fails: disk_failure_policy for SSTables, commit_failure_policy for the commit log, with Cassandra's words.
 * Whatever the policy, nothing is answered from damaged data, and nothing is acknowledged that is not in the log.
 */
import type { DamageSettings } from '../../storage/damaged-files.ts'
import type { CorruptionError } from '../../storage/errors.ts'
import type { Settings } from '../config/settings.ts'
import type { Log } from '../runtime/runtime.ts'

/** What of the store's settings the policies decide. */
export interface FailureSettings {
  readonly damage: DamageSettings
  readonly onFailure: (error: Error) => void
}

type Policies = Pick<Settings, 'disk_failure_policy' | 'commit_failure_policy'>

const SOURCE = 'failure-policy.ts'

export class FailurePolicy {
  /** Resolves when a policy wants the process to end. */
  readonly died: Promise<Error>
  readonly #settings: Policies
  readonly #log: Log
  #die: (error: Error) => void = () => {}
  #stopServing: (() => Promise<void>) | null = null
  #stopped = false

  constructor(settings: Policies, log: Log) {
    this.#settings = settings
    this.#log = log
    this.died = new Promise((resolve) => {
      this.#die = resolve
    })
  }

  get storeSettings(): FailureSettings {
    const { disk_failure_policy: policy } = this.#settings
    const files =
      policy === 'ignore' ? 'leave' : policy === 'die' || policy === 'stop_paranoid' ? 'refuse' : 'set aside'
    return {
      damage: { files, onDamage: (error) => this.#damaged(error) },
      onFailure: (error) => this.#logFailed(error),
    }
  }

  /** What `stop` stops: the service for clients. What happened before happens now. */
  serving(stop: () => Promise<void>): void {
    this.#stopServing = stop
    if (this.#stopped) this.#stop()
  }

  /** Whatever the policies: this node must not go on, or it would do harm to its cluster. */
  endNode(error: Error): void {
    this.#log.error(SOURCE, 'This node must not go on', error)
    this.#die(error)
  }

  #damaged(error: CorruptionError): void {
    const { disk_failure_policy: policy } = this.#settings
    const isOfDisk = (error.cause as { code?: unknown } | undefined)?.code === 'EIO'
    if (policy === 'die') this.#end(error)
    else if (policy === 'stop_paranoid' || (policy === 'stop' && isOfDisk)) this.#stop()
  }

  #logFailed(error: Error): void {
    const { commit_failure_policy: policy } = this.#settings
    this.#log.error(SOURCE, 'The commit log failed: no write is acknowledged until a restart, reads go on', error)
    if (policy === 'die') this.#end(error)
    else if (policy === 'stop') this.#stop()
  }

  #end(error: Error): void {
    this.#log.error(SOURCE, 'The failure policy ends this node', error)
    this.#die(error)
  }

  #stop(): void {
    this.#stopped = true
    const stop = this.#stopServing
    if (stop === null) return
    this.#stopServing = null
    this.#log.error(
      SOURCE,
      'The failure policy stops the service for clients; the node runs on for those who look after it',
    )
    stop().catch((cause: unknown) => this.#log.error(SOURCE, 'the service could not be stopped', cause))
  }
}
