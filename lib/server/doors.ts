/** All that a node has of the world outside: real doors in production, those of a seeded world in a simulation. */
import type { MemoryFigures } from '../metrics.ts'
import type { ListenHttpService } from '../runtime/node/http-service.ts'
import type { Pauses, Runtime } from '../runtime/runtime.ts'

export interface NodeDoors extends AsyncDisposable {
  readonly runtime: Runtime
  /** What kept the main thread from serving. */
  readonly pauses: Pauses
  memory(): MemoryFigures
  /** Absent: HTTP is not served in this world. */
  readonly listenHttp?: ListenHttpService
}
