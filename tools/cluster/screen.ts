/** The status of a cluster's nodes as lines for a terminal. Pure. */
import { bytesText } from '../nodetool/text.ts'

export type Phase = 'starting' | 'serving' | 'stopping' | 'ended'

export interface NodeLine {
  readonly number: number
  readonly address: string
  readonly datacenter: string
  readonly rack: string
  readonly pid: number | undefined
  readonly phase: Phase
  /** How it ended, when it did. */
  readonly ending: string
  /** `UN`, `DN`, … as another node says; null: nobody has said anything yet. */
  readonly standing: string | null
  readonly loadBytes: number | null
  /** Part of the ring, 0 to 1. */
  readonly owns: number | null
  readonly memoryBytes: number
}

export type Paint = (text: string, color: 'green' | 'red' | 'yellow' | 'dim' | 'bold') => string

const CODES = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const

export const COLORED: Paint = (text, color) => `\x1b[${CODES[color]}m${text}\x1b[0m`
export const PLAIN: Paint = (text) => text

const HEAD = ['', 'Node', 'Address', 'Data centre', 'Rack', 'Load', 'Owns', 'Memory', 'Process', '']

export function clusterLines(nodes: readonly NodeLine[], paint: Paint): string[] {
  const rows = nodes.map((node) => [
    node.phase === 'ended' ? 'DN' : (node.standing ?? '--'),
    String(node.number),
    node.address,
    node.datacenter,
    node.rack,
    node.loadBytes === null ? '?' : bytesText(node.loadBytes),
    node.owns === null ? '?' : `${(node.owns * 100).toFixed(1)}%`,
    Number.isNaN(node.memoryBytes) || node.phase === 'ended' ? '-' : `${Math.round(node.memoryBytes / 2 ** 20)} MiB`,
    node.pid === undefined ? '-' : String(node.pid),
    node.phase === 'ended' ? node.ending : node.phase,
  ])
  const widths = HEAD.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]!.length)))
  const line = (row: readonly string[], show: (cell: string, column: number) => string): string =>
    row
      .map((cell, i) => show(cell.padEnd(widths[i]!), i))
      .join('  ')
      .trimEnd()
  return [
    line(HEAD, (cell) => paint(cell, 'dim')),
    ...rows.map((row, i) =>
      line(row, (cell, column) => (column === 0 || column === 9 ? paint(cell, colorOf(nodes[i]!)) : cell)),
    ),
  ]
}

function colorOf({ phase, standing }: NodeLine): 'green' | 'red' | 'yellow' {
  if (phase === 'ended' || standing?.startsWith('D')) return 'red'
  return phase === 'serving' && (standing ?? 'UN') === 'UN' ? 'green' : 'yellow'
}
