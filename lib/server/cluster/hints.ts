/** Hinted handoff of a node: where its hints are kept, what it knows of nodes and tables. */
import { join, resolve } from 'node:path'
import type { Liveness } from '../../../cluster/gossip/liveness.ts'
import { HintedHandoff } from '../../../cluster/hints/handoff.ts'
import type { Messenger } from '../../../cluster/internode/messenger.ts'
import { uuidText } from '../../base/uuid.ts'
import type { Settings } from '../../config/settings.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { MetadataLog } from '../metadata-log.ts'

export interface HintsOptions {
  readonly settings: Settings
  readonly runtime: Runtime
  /** Of the node's data; null: all is in memory. */
  readonly directory: string | null
  readonly messenger: Messenger
  readonly liveness: Liveness
  readonly metadata: MetadataLog
}

/** Without a disk hints share the memory with all else. */
const MEMORY_BYTES_MAX = 32 * 1024 * 1024

export function openHints(options: HintsOptions): Promise<HintedHandoff> {
  const { settings, runtime, directory, messenger, liveness, metadata } = options
  const { clock, random, log, disk } = runtime
  const hostBytesMax = settings.max_hints_size_per_host
  return HintedHandoff.open({
    clock,
    random: random.stream('hints'),
    log,
    disk,
    directory: directory === null ? null : directoryOf(settings, directory),
    settings: {
      enabled: settings.hinted_handoff_enabled,
      windowMs: settings.max_hint_window,
      throttleBytes: settings.hinted_handoff_throttle,
      fileBytesMax: settings.max_hints_file_size,
      hostBytesMax: directory === null ? Math.min(hostBytesMax || MEMORY_BYTES_MAX, MEMORY_BYTES_MAX) : hostBytesMax,
    },
    messenger,
    liveness,
    endpointOf(hostId) {
      const { epoch, topology } = metadata.state
      if (epoch === 0) return undefined
      return topology.nodes.get(hostId)?.endpoint ?? null
    },
    gcGraceSeconds: (table) =>
      metadata.state.schema.tablesById.get(uuidText(Buffer.from(table, 'latin1')))?.options.gcGraceSeconds ?? null,
  })
}

function directoryOf(settings: Settings, directory: string): string {
  return settings.hints_directory === null ? join(directory, 'hints') : resolve(settings.hints_directory)
}
