/**
 * The manifest.json of a table's part of a snapshot: Cassandra's fields (files, created_at, expires_at, ephemeral), and which table it is of. Its `shape`
 * (docs/formats.md) is the table's when the snapshot was taken: newer than that of its files, so it knows what was dropped since.
 */
import type { Disk } from '../lib/runtime/runtime.ts'

export interface SnapshotTable {
  readonly id: string
  readonly keyspace: string
  readonly name: string
  readonly shape: string
  /** CQL that makes the table again. */
  readonly schema: string
  readonly files: readonly { readonly path: string; readonly fileBytes: number }[]
}

export interface SnapshotRequest {
  readonly tag: string
  readonly createdAtMs: number
  /** Null: it stays until it is cleared. */
  readonly expiresAtMs: number | null
  /** Made for a task of the node itself, not for the operator. */
  readonly ephemeral: boolean
  readonly tables: readonly SnapshotTable[]
}

export interface SnapshotManifest {
  readonly createdAtMs: number
  readonly expiresAtMs: number | null
  readonly ephemeral: boolean
  /** The table's id and shape; empty when it does not say. */
  readonly table: string
  readonly shape: string
}

const NAME = 'manifest.json'
/** More is no manifest. */
const BYTES_MAX = 64 * 1024 * 1024

export function snapshotManifestText(request: SnapshotRequest, table: SnapshotTable): string {
  const files = table.files.map(({ path }) => path.slice(path.lastIndexOf('/') + 1))
  const manifest = {
    files,
    created_at: new Date(request.createdAtMs).toISOString(),
    ...(request.expiresAtMs === null ? {} : { expires_at: new Date(request.expiresAtMs).toISOString() }),
    ephemeral: request.ephemeral,
    sizes: Object.fromEntries(table.files.map(({ fileBytes }, i) => [files[i]!, fileBytes])),
    keyspace: table.keyspace,
    table: table.name,
    id: table.id,
    ...(table.shape === '' ? {} : { shape: JSON.parse(table.shape) as unknown }),
  }
  return `${JSON.stringify(manifest, null, 2)}\n`
}

/** Null when there is none in the folder, or when it is no manifest. */
export async function tryReadManifest(disk: Disk, folder: string): Promise<SnapshotManifest | null> {
  const path = `${folder}/${NAME}`
  if (!(await disk.stat(path))) return null
  try {
    const fields = JSON.parse((await readWhole(disk, path, BYTES_MAX)).toString()) as Record<string, unknown>
    const createdAtMs = Date.parse(String(fields.created_at))
    if (Number.isNaN(createdAtMs)) return null
    return {
      createdAtMs,
      expiresAtMs: fields.expires_at === undefined ? null : Date.parse(String(fields.expires_at)),
      ephemeral: fields.ephemeral === true,
      table: typeof fields.id === 'string' ? fields.id : '',
      shape: fields.shape === undefined ? '' : JSON.stringify(fields.shape),
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null
    throw error
  }
}

/** Makes a file with that content, durably but for its name. */
export async function writeWhole(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.open(path, 'create')
  try {
    await file.write(Buffer.from(text), 0)
    await file.sync()
  } finally {
    await file.close()
  }
}

export async function readWhole(disk: Disk, path: string, bytesMax: number): Promise<Buffer> {
  const file = await disk.open(path, 'read')
  try {
    const bytes = Buffer.alloc(Math.min(bytesMax, await file.size()))
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}
