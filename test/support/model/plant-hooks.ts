/** Changes one module's text as it is loaded. For `module.register`, with the plant as its data. */
import type { Plant } from './plants.ts'

let plant: Plant | null = null

export function initialize(data: Plant): void {
  plant = data
}

interface Loaded {
  readonly format: string
  readonly source?: string | ArrayBuffer | Uint8Array
}

export async function load(
  url: string,
  context: unknown,
  next: (url: string, context: unknown) => Promise<Loaded>,
): Promise<Loaded> {
  const loaded = await next(url, context)
  if (plant === null || !url.endsWith(`/dist/${plant.file}`)) return loaded
  const source = Buffer.from(loaded.source as Uint8Array).toString()
  const pattern = placeOf(plant)
  const count = source.match(pattern)?.length ?? 0
  if (count !== 1)
    throw new Error(`"${plant.name}" can not be planted: its place occurs ${count} times in ${plant.file}`)
  const { to } = plant
  return { ...loaded, source: source.replace(pattern, () => to) }
}

/** Where a plant's bug belongs in its module's text. */
export function placeOf({ from }: Plant): RegExp {
  const words = from.trim().split(/\s+/)
  return new RegExp(words.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('\\s+'), 'g')
}
