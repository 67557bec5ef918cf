/** A node of this process, with the real doors to the world: for programs (startNode) and for the `polyxena` command (runNode). */

import { resolve } from 'node:path'
import { defaultSettings, type LoadedConfig } from '../config/load.ts'
import type { Settings } from '../config/settings.ts'
import { listenHttpService } from '../runtime/node/http-service.ts'
import { createTextLog, SILENT_LOG } from '../runtime/node/log.ts'
import { openNodePauses } from '../runtime/node/pauses.ts'
import { giveBackWhenIdle, processMemory } from '../runtime/node/process-memory.ts'
import { openNodeRuntime } from '../runtime/node/runtime.ts'
import type { Log } from '../runtime/runtime.ts'
import { POLYXENA_VERSION } from '../version.ts'
import { openNode, type StartedNode } from './assembly.ts'
import type { NodeDoors } from './doors.ts'

export type { StartedNode } from './assembly.ts'
export { StartError } from './start-error.ts'

/** For an embedded node. What is not said is as in `polyxena --help`, but for the port, which is a free one. */
export interface NodeOptions {
  /** Keep nothing on disk. */
  readonly memory?: boolean
  /** Where to keep the data; default ./data. */
  readonly directory?: string
  readonly address?: string
  readonly port?: number
  readonly settings?: Partial<Settings>
  /** Default: silent. */
  readonly log?: Log
}

/** A node inside this process. Rejects with a StartError when it cannot start. */
export async function startNode(options: NodeOptions = {}): Promise<StartedNode> {
  const settings = defaultSettings({
    native_transport_port: options.port ?? 0,
    admin_port: 0,
    ...(options.address === undefined ? {} : { rpc_address: options.address }),
    ...(options.directory === undefined ? {} : { data_file_directories: [options.directory] }),
    ...options.settings,
  })
  return openNode({ settings, memory: options.memory ?? false, warnings: [] }, openRealDoors(options.log ?? SILENT_LOG))
}

/** The node of the `polyxena` command: logs to standard output. */
export async function runNode(config: LoadedConfig): Promise<StartedNode> {
  const log = createTextLog({ level: config.settings.log_level, write: (line) => process.stdout.write(line) })
  for (const warning of config.warnings) log.warn('node.ts', warning)
  const node = await openNode(config, openRealDoors(log))
  const where = config.memory ? 'in memory' : `data in ${resolve(config.settings.data_file_directories[0]!)}`
  const port = node.port === 9042 ? '' : ` ${node.port}`
  process.stdout.write(
    `Polyxena ${POLYXENA_VERSION} serves CQL on ${node.address}:${node.port} (${where}). Next: cqlsh ${node.address}${port}\n`,
  )
  giveBackWhenIdle()
  return node
}

function openRealDoors(log: Log): NodeDoors {
  const runtime = openNodeRuntime(log)
  const pauses = openNodePauses()
  return {
    runtime,
    pauses,
    listenHttp: listenHttpService,
    memory: processMemory,
    async [Symbol.asyncDispose]() {
      pauses[Symbol.dispose]()
      await runtime[Symbol.asyncDispose]()
    },
  }
}
