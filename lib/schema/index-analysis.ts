/**
 * What a storage-attached index does to texts, and to addresses, before it compares them. Source: options case_sensitive, normalize and ascii of Cassandra 5.0's
 * SAI; their order there: case, then NFC, then ASCII.
 */
import { type IndexTarget, isSai } from './index-target.ts'
import type { ColumnSchema, IndexSchema } from './table.ts'

export const ANALYSIS_OPTIONS: ReadonlySet<string> = new Set(['case_sensitive', 'normalize', 'ascii'])

/** From a value's bytes to those that stand for it, and are compared in its stead. */
export type Analyzer = (text: Buffer) => Buffer

/** By column; of maps the keys have their own, as each may have an index of its own. */
export interface Analyzers {
  readonly keys: ReadonlyMap<ColumnSchema, Analyzer>
  readonly values: ReadonlyMap<ColumnSchema, Analyzer>
}

export const NO_ANALYZERS: Analyzers = { keys: new Map(), values: new Map() }

/** Null: values are taken as they are. */
export function analyzerOf(index: IndexSchema, { column }: IndexTarget): Analyzer | null {
  if (!isSai(index)) return null
  if (column.type.kind === 'native' && column.type.name === 'inet') return wideAddress
  const is = (name: string, value: string) => index.options.get(name)?.toLowerCase() === value
  const ignoresCase = is('case_sensitive', 'false')
  const normalizes = is('normalize', 'true')
  const folds = is('ascii', 'true')
  if (!ignoresCase && !normalizes && !folds) return null
  return (bytes) => {
    let text = bytes.toString('utf8')
    if (ignoresCase) text = text.toLowerCase()
    if (normalizes) text = text.normalize('NFC')
    if (folds) text = foldToAscii(text)
    return Buffer.from(text)
  }
}

/** Addresses of four bytes stand among those of sixteen, where the mapped ones are. */
function wideAddress(address: Buffer): Buffer {
  return address.length === 4 ? Buffer.concat([MAPPED, address]) : address
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

/** Letters that no decomposition takes apart. */
const FOLDED: ReadonlyMap<string, string> = new Map([
  ['Æ', 'AE'],
  ['æ', 'ae'],
  ['Œ', 'OE'],
  ['œ', 'oe'],
  ['Ø', 'O'],
  ['ø', 'o'],
  ['ß', 'ss'],
  ['ẞ', 'SS'],
  ['Þ', 'TH'],
  ['þ', 'th'],
  ['Ð', 'D'],
  ['ð', 'd'],
  ['Đ', 'D'],
  ['đ', 'd'],
  ['Ħ', 'H'],
  ['ħ', 'h'],
  ['ı', 'i'],
  ['Ł', 'L'],
  ['ł', 'l'],
  ['Ŋ', 'N'],
  ['ŋ', 'n'],
  ['Ŧ', 'T'],
  ['ŧ', 't'],
  ['ĸ', 'q'],
  ['‘', "'"],
  ['’', "'"],
  ['“', '"'],
  ['”', '"'],
  ['–', '-'],
  ['—', '-'],
])

function foldToAscii(text: string): string {
  let folded = ''
  for (const character of text) {
    if (character.charCodeAt(0) < 0x80) folded += character
    else {
      const plain = character.normalize('NFKD').replaceAll(/\p{M}/gu, '')
      folded += FOLDED.get(plain) ?? plain
    }
  }
  return folded
}
