/**
 * Sizes as Cassandra's compaction options have them: `100MiB`, `1.5 GiB`, `1000 MB`, `1*2^30B`; decimal prefixes with a B, binary ones with iB.
 * Source: the answers of Cassandra 5.0.6 to right and wrong ones.
 */

const PREFIXES = 'qryzafpnum KMGTPEZYRQ'
const NO_PREFIX = PREFIXES.indexOf(' ')

export type HumanSize = { readonly bytes: number } | { readonly wrong: string }

/** Bytes, which may be a fraction, negative, infinite or NaN; or what is wrong, in the words of Cassandra. */
export function parseHumanSize(text: string): HumanSize {
  if (!text.endsWith('B')) return { wrong: `${text} does not end in unit B` }
  const end = text.length - 1
  const match =
    /^(NaN|[+-]?Infinity|[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?:\*2\^([+-]?[0-9]+))?[ \t\n\r\f]*/.exec(
      text.slice(0, end),
    )
  if (!match) return { wrong: 'null' }
  let bytes = Number(match[1]) * 2 ** Number(match[2] ?? 0)
  let at = match[0].length
  const power = at < end ? PREFIXES.indexOf(text[at]!) - NO_PREFIX : 0
  if (at < end && power >= -NO_PREFIX) {
    at += 1
    const isBinary = at < end && text[at] === 'i'
    if (isBinary) at += 1
    bytes *= (isBinary ? 1024 : 1000) ** power
  }
  if (at !== end) return { wrong: `Unexpected characters between pos ${at} and ${end} in ${text}` }
  return { bytes }
}

const LONG_MAX = 2 ** 63

/** `1.000GiB`. */
export function formatHumanSize(bytes: number): string {
  const capped = Math.min(bytes, LONG_MAX)
  const power = capped < 1024 ? 0 : Math.floor(Math.log2(capped) / 10)
  const prefix = power === 0 ? '' : `${PREFIXES[NO_PREFIX + power]}i`
  return `${(capped / 1024 ** power).toFixed(3)}${prefix}B`
}

export function isBeyondLong(bytes: number): boolean {
  return Math.abs(bytes) >= LONG_MAX
}
