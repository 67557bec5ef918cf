/** The node's materialized views, opened: what is known of them for ever lies in a table like that of the indexes (indexes.ts). */
import type { Clock, Log } from '../runtime/runtime.ts'
import type { Schema, SchemaChange } from '../schema/keyspace.ts'
import { systemTableId } from '../schema/system-tables.ts'
import { isView } from '../schema/views.ts'
import { NodeViews, type ViewStore } from '../view/node-views.ts'
import type { ViewPlaces } from '../view/places.ts'
import { type MarksStore, StoredMarks } from './indexes.ts'

const VIEW_MARKS_ID = systemTableId('system', 'polyxena_views')

export interface OpenViewsOptions {
  /** Storage itself. */
  readonly store: MarksStore
  /** Storage with its indexes. */
  readonly replica: ViewStore
  readonly metadata: {
    readonly current: Schema
    listen(listener: (changes: readonly SchemaChange[], schema: Schema) => void): Disposable
  }
  readonly clock: Clock
  readonly log: Log
  /** In a cluster: who holds what of the views, as soon as that is known. */
  readonly places?: Promise<ViewPlaces>
}

/** Reads what is known, and begins to build what is not built. */
export async function openViews({
  store,
  replica,
  metadata,
  clock,
  log,
  places,
}: OpenViewsOptions): Promise<NodeViews> {
  const table = { table: VIEW_MARKS_ID, name: 'polyxena_views' }
  const marks = await StoredMarks.open(store, table, () => clock.wallMicros())
  // Without a commit log table and view may have lost different writes.
  for (const { tables, durableWrites } of metadata.current.keyspaces.values())
    if (!durableWrites) for (const each of tables.values()) if (isView(each)) await marks.forget(each.id)
  const views = new NodeViews({
    store: replica,
    marks,
    schema: () => metadata.current,
    clock,
    log,
    ...(places && { places }),
  })
  metadata.listen(() => views.refresh())
  return views
}
