/**
 * The texts of speculative_retry and additional_write_policy. Source: Cassandra 5.0.6: `99p`, `50ms`, `MIN(99p,50ms)`, `ALWAYS`, `NEVER`,
 * with older spellings read and rewritten. Errors name speculative_retry, whichever of the two it is.
 */
import { configError } from '../base/errors.ts'
import { javaDouble } from './java.ts'

interface Part {
  readonly kind: 'PERCENTILE' | 'FIXED'
  readonly text: string
}

/** The text in the form in which it is kept; throws CONFIG_ERROR. */
export function parseSpeculativeRetry(text: string): string {
  const word = text.toLowerCase()
  if (word === 'always') return 'ALWAYS'
  if (word === 'never' || word === 'none') return 'NEVER'
  const hybrid = /^(min|max)\((.*)\)$/i.exec(text)
  if (!hybrid) return part(text, text).text
  const inner = hybrid[2]!.split(',')
  if (inner.length !== 2) throw invalidValue(text)
  const first = part(inner[0]!.trim(), text)
  const second = part(inner[1]!.trim(), text)
  if (first.kind === second.kind)
    throw configError(
      `Invalid value ${text} for option 'speculative_retry': ` +
        `MIN()/MAX() arguments should be of different types, but both are of type ${first.kind}`,
    )
  const [percentile, fixed] = first.kind === 'PERCENTILE' ? [first, second] : [second, first]
  return `${hybrid[1]!.toUpperCase()}(${percentile.text},${fixed.text})`
}

function invalidValue(text: string) {
  return configError(`Invalid value ${text} for option 'speculative_retry'`)
}

function part(text: string, whole: string): Part {
  const percentile = /^([0-9]{1,20}(?:\.[0-9]{1,20})?)(?:p|percentile)$/i.exec(text)
  if (percentile) {
    const value = Number(percentile[1])
    if (value <= 0 || value >= 100)
      throw configError(
        `Invalid value ${text} for PERCENTILE option 'speculative_retry': must be between (0.0 and 100.0)`,
      )
    return { kind: 'PERCENTILE', text: `${javaDouble(value).replace(/\.0$/, '')}p` }
  }
  const fixed = /^([0-9]{1,20}(?:\.[0-9]{1,20})?)ms$/i.exec(text)
  if (!fixed) throw invalidValue(whole)
  return { kind: 'FIXED', text: `${Math.trunc(Number(fixed[1]))}ms` }
}
