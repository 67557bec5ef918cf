/** Caches for the administration interface. Source: invalidatekeycache, invalidaterowcache, setcachecapacity of Cassandra's nodetool. */
import type { CacheName } from '../../../storage/store-words.ts'
import type { AdminNode } from './admin-node.ts'
import { AdminError, type Parameters, usage } from './parameters.ts'

const NAMES: readonly string[] = ['blocks', 'keys', 'rows'] satisfies CacheName[]

export function clearCache(node: AdminNode, parameters: Parameters): void {
  const name = parameters.required('name')
  if (!NAMES.includes(name)) throw usage(`name must be one of ${NAMES.join(', ')}`)
  node.store.caches.clear(name as CacheName)
}

/** Bytes by name; those that are not named stay as they are. */
export function resizeCaches(node: AdminNode, parameters: Parameters): void {
  for (const name of NAMES) {
    const bytes = parameters.number(name)
    if (bytes === null) continue
    if (bytes < 0) throw usage('capacity should be positive')
    if (!node.store.caches.resize(name as CacheName, bytes))
      throw new AdminError(
        'failure',
        'Setting capacity of NopCache is not permitted as this cache is disabled. Check your yaml settings if you want to enable it.',
      )
  }
}
