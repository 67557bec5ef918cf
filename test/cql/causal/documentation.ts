/** docs/consistency.md is true: its blocks of CQL are run, and answer what stands behind `--`; so is its JavaScript. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { types } from 'cassandra-driver'
import t from 'tap'
import { nodeAndClient } from '../../support/driver.ts'

const ROOT = new URL('../../../../', import.meta.url)

function blocks(file: string, language: string): string[] {
  const text = readFileSync(new URL(file, ROOT), 'utf8')
  return [...text.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\n\`\`\``, 'gs'))].map((match) => match[1]!)
}

/** Statements, one a line, and the lines behind `--` that follow each. */
function steps(block: string): { readonly text: string; readonly expected: string[] }[] {
  const found: { text: string; expected: string[] }[] = []
  for (const line of block.split('\n'))
    if (line.startsWith('-- ')) found[found.length - 1]!.expected.push(line.slice(3))
    else found.push({ text: line, expected: [] })
  return found
}

/** A value as the page shows it; contexts by the name that they are given there. */
function shown(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return `{${value.map(shown).join(', ')}}`
  if (value instanceof types.Long) return value.toString()
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([key, one]) => `${key}: ${shown(one)}`)
      .join(', ')}}`
  return String(value)
}

t.test('CQL', async (t) => {
  const { client } = await nodeAndClient(t)
  const contexts = new Map<string, Buffer>()
  let statements = 0
  for (const block of blocks('docs/consistency.md', 'cql')) {
    for (const { text, expected } of steps(block)) {
      statements++
      const names = [...text.matchAll(/(?:VCLOCK|VCLOCK =) :(\w+)/g)].map((match) => match[1]!)
      const query = text.replace(/(VCLOCK(?: =)?) :\w+/g, '$1 ?')
      const found: string[] = []
      try {
        const values = names.map((name) => contexts.get(name))
        const { rows, info } = await client.execute(query, values, { prepare: true })
        found.push(...(info.warnings ?? []).map((warning) => `warning: ${warning}`))
        for (const row of rows ?? []) {
          const line = expected[found.length]?.split(' | ') ?? []
          const cells = row.values().map((value: unknown, i: number) => {
            const name = line[i]?.startsWith(':') === true ? line[i]!.slice(1) : null
            if (name === null || !Buffer.isBuffer(value)) return shown(value)
            const known = contexts.get(name)
            contexts.set(name, value)
            return known === undefined || known.equals(value) ? `:${name}` : 'another vclock'
          })
          found.push(cells.join(' | '))
        }
      } catch (error) {
        found.push(`error: ${(error as Error).message}`)
      }
      const cut = found.map((line, i) =>
        /^(warning|error): /.test(line) && expected[i] ? line.slice(0, expected[i]!.length) : line,
      )
      t.same(cut, expected, text)
    }
  }
  t.ok(statements > 30, `${statements} statements`)
})

t.test('JavaScript', async (t) => {
  const scripts = blocks('docs/consistency.md', 'js')
  t.ok(scripts.length > 0)
  const directory = new URL('./documentation/', import.meta.url)
  mkdirSync(directory, { recursive: true })
  t.teardown(() => rmSync(directory, { recursive: true }))
  for (const [i, script] of scripts.entries()) {
    const path = new URL(`${i}.js`, directory)
    writeFileSync(path, script.replace(`from 'polyxena'`, `from '../../../../lib/index.js'`))
    await t.resolves(import(path.href))
  }
})
