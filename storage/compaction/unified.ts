/**
 * What is done for a table that asks for UnifiedCompactionStrategy. There is none here; its scaling parameters span the space between the two
 * that there are, so the nearest is taken: Tn is size-tiered with n, Ln leveled with a fanout of n, N, their meeting point, size-tiered with 2.
 * Of a list the last counts: it governs the largest levels, where nearly all bytes are.
 * Source: CEP-26 of Cassandra; a bare number w is T(w + 2) when positive, L(2 - w) when negative, N when 0.
 */
import { DEFAULT_LEVELED, DEFAULT_SIZE_TIERED, type StrategyOptions } from '../table-options.ts'

export interface UnifiedOptions {
  /** As given: `T4`, `T4, L10`, `N`, `-8`; null: T4. */
  readonly scalingParameters: string | null
  /** Null: not given. */
  readonly targetSSTableBytes: number | null
  /** Null or 0: not given. */
  readonly maxSSTablesToCompact: number | null
}

export function mapUnified(options: UnifiedOptions): StrategyOptions {
  const w = scalingParameter(/(\S+)[\s,]*$/.exec(options.scalingParameters?.replaceAll(',', ' ') ?? '')?.[1] ?? 'T4')
  if (w < 0) {
    const sstableBytes = options.targetSSTableBytes ?? DEFAULT_LEVELED.sstableBytes
    return {
      kind: 'leveled',
      leveled: { ...DEFAULT_LEVELED, sstableBytes, fanout: 2 - w },
      sizeTiered: DEFAULT_SIZE_TIERED,
    }
  }
  const minThreshold = w + 2
  const maxThreshold = Math.max(minThreshold, options.maxSSTablesToCompact || DEFAULT_SIZE_TIERED.maxThreshold)
  return { kind: 'size-tiered', ...DEFAULT_SIZE_TIERED, minThreshold, maxThreshold }
}

function scalingParameter(text: string): number {
  if (text === 'N') return 0
  const fanout = Math.max(2, Number(text.slice(1)))
  if (text.startsWith('T')) return fanout - 2
  if (text.startsWith('L')) return 2 - fanout
  return Number(text)
}

/** For the log. */
export function describeStrategy(strategy: StrategyOptions): string {
  switch (strategy.kind) {
    case 'size-tiered':
      return `size-tiered with min_threshold ${strategy.minThreshold}`
    case 'leveled':
      return `leveled with fanout_size ${strategy.leveled.fanout}`
    default:
      return strategy.kind
  }
}
