/** Figures and tables as Cassandra's nodetool writes them. */

/** `1.21 KiB`, `12 bytes`; plain digits unless for people. */
export function bytesText(bytes: number, human = true): string {
  if (!human) return String(bytes)
  for (const [unit, factor] of UNITS) if (bytes >= factor) return `${(bytes / factor).toFixed(2)} ${unit}`
  return `${bytes} bytes`
}

/** `148.108KiB`, `702B`. */
export function memoryText(bytes: number): string {
  for (const [unit, factor] of UNITS) if (bytes >= factor) return `${(bytes / factor).toFixed(3)}${unit}`
  return `${bytes}B`
}

const UNITS = [
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
] as const

/** A double as Java prints it: `1.0`, `NaN`. */
export function javaDouble(value: number | null): string {
  if (value === null || Number.isNaN(value)) return 'NaN'
  return Number.isInteger(value) && Math.abs(value) < 1e7 ? `${value}.0` : String(value)
}

/** Columns as wide as their widest cell, one blank between; short rows are filled up. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return rows.map((row) => `${widths.map((width, column) => (row[column] ?? '').padEnd(width)).join(' ')}\n`).join('')
}

/** JSON as Jackson's pretty printer lays it out. */
export function jsonText(value: unknown, indent = ''): string {
  if (typeof value === 'number' && Number.isNaN(value)) return '"NaN"'
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null)
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    if (value.length === 0) return '[ ]'
    return `[ ${value.map((one) => jsonText(one, indent)).join(', ')} ]`
  }
  const members = Object.entries(value)
  if (members.length === 0) return '{ }'
  return `{\n${members.map(([name, one]) => `${inner}${JSON.stringify(name)} : ${jsonText(one, inner)}`).join(',\n')}\n${indent}}`
}

/** Block YAML of plain data. */
export function yamlText(value: unknown, indent = ''): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return `${indent}[]\n`
    return value
      .map((one) => {
        const text = yamlText(one, `${indent}  `)
        return isPlain(one) ? `${indent}- ${scalar(one)}\n` : `${indent}- ${text.slice(indent.length + 2)}`
      })
      .join('')
  }
  if (value === null || typeof value !== 'object') return `${indent}${scalar(value)}\n`
  return Object.entries(value)
    .map(([name, one]) => {
      if (isPlain(one)) return `${indent}${name}: ${scalar(one)}\n`
      return `${indent}${name}:\n${yamlText(one, Array.isArray(one) ? indent : `${indent}  `)}`
    })
    .join('')
}

function isPlain(value: unknown): boolean {
  if (value === null || typeof value !== 'object') return true
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0
}

function scalar(value: unknown): string {
  if (Array.isArray(value)) return '[]'
  if (value !== null && typeof value === 'object') return '{}'
  if (typeof value === 'number') return Number.isNaN(value) ? '.NaN' : String(value)
  if (typeof value !== 'string') return String(value)
  return /^[A-Za-z_/][\w ./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off)$/i.test(value)
    ? value
    : `'${value.replaceAll("'", "''")}'`
}
