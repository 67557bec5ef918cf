/** What a node is made of, once it is open: those who serve its clients and those who administer it see it alike. */
import type { Store } from '../../storage/store.ts'
import type { Settings } from '../config/settings.ts'
import type { NodeIndexes } from '../index/node-indexes.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { NodeViews } from '../view/node-views.ts'
import type { ClusterMember } from './cluster/member.ts'
import type { Identity } from './identity.ts'
import type { MetadataLog } from './metadata-log.ts'

export interface NodeParts {
  readonly settings: Settings
  readonly runtime: Runtime
  readonly store: Store
  readonly metadata: MetadataLog
  readonly indexes: NodeIndexes
  readonly views: NodeViews
  readonly identity: Identity
  /** Null: the node is alone. */
  readonly member: ClusterMember | null
}
