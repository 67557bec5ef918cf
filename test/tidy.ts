/** The rules of the house that a program can check: which room may import which, and where the world's doors stand. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** Arrows point down only. Rooms that are not named (lib/server, lib/*.ts, tools) may import all but tests. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  'lib/base': [],
  'lib/runtime': ['lib/base'],
  'lib/types': ['lib/base'],
  protocol: ['lib/base', 'lib/types'],
  storage: ['lib/base', 'lib/runtime'],
  cluster: ['lib/base', 'lib/runtime', 'lib/types', 'storage/model'],
  'lib/schema': ['lib/base', 'lib/types'],
  'lib/cql': ['lib/base', 'lib/types', 'lib/schema', 'storage/model'],
  'lib/index': ['lib/base', 'lib/runtime', 'lib/types', 'lib/schema', 'storage/model'],
  'lib/view': ['lib/base', 'lib/runtime', 'lib/types', 'lib/schema', 'lib/index', 'storage/model'],
}

/** Pure functions of Node's own that any room may use. */
const NODE_ANYWHERE = new Set(['node:zlib', 'node:crypto', 'node:util', 'node:buffer'])
const NODE_ALLOWED_IN = ['lib/runtime/node/', 'tools/', 'test/', 'lib/server/', 'lib/config/', 'lib/index.ts']

const DOORS =
  /\b(Date\.now\(|new Date\(\)|performance\.now|Math\.random\(|crypto\.random|randomBytes\(\s*\d|setTimeout\(|setInterval\(|setImmediate\(|process\.(env|exit|nextTick))/

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort()
}

function room(file: string): string | null {
  const names = Object.keys(MAY_IMPORT).sort((a, b) => b.length - a.length)
  return names.find((name) => file.startsWith(`${name}/`)) ?? null
}

const files = ['lib', 'protocol', 'storage', 'cluster', 'tools', 'test'].flatMap(sources)

t.test('imports point down', (t) => {
  const wrong: string[] = []
  for (const file of files) {
    const own = room(file)
    const text = readFileSync(join(ROOT, file), 'utf8')
    for (const match of text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
      const target = match[1]!
      if (target.startsWith('.')) {
        const path = relative(ROOT, resolve(ROOT, dirname(file), target))
        if (path.startsWith('test/') && !file.startsWith('test/')) wrong.push(`${file} imports ${path}`)
        if (own && !path.startsWith(`${own}/`) && !MAY_IMPORT[own]!.some((allowed) => path.startsWith(`${allowed}/`)))
          wrong.push(`${file} imports ${path}`)
      } else if (target.startsWith('node:') && !NODE_ANYWHERE.has(target)) {
        if (!NODE_ALLOWED_IN.some((place) => file.startsWith(place))) wrong.push(`${file} imports ${target}`)
      }
    }
  }
  t.same(wrong, [])
  t.end()
})

t.test('every file says what it is before all else', (t) => {
  const silent = files.filter((file) => !/^(#!.*\n)?\/\*\*/.test(readFileSync(join(ROOT, file), 'utf8')))
  t.same(silent, [])
  t.end()
})

t.test('a file of test/ is a test, a program, or something that those are made of', (t) => {
  const isUsed = new Set<string>()
  for (const file of files)
    for (const match of readFileSync(join(ROOT, file), 'utf8').matchAll(/'(\.[^']+)\.[jt]s'/g))
      isUsed.add(`${join(dirname(file), match[1]!)}.ts`)
  const wrong: string[] = []
  for (const file of files.filter((file) => file.startsWith('test/'))) {
    const isTest = /^import .*'tap'$/m.test(readFileSync(join(ROOT, file), 'utf8'))
    if (isTest && isUsed.has(file)) wrong.push(`${file} is a test that others import`)
    if (isTest && file.startsWith('test/support/')) wrong.push(`${file} is a test among what tests are made of`)
    if (!isTest && !isUsed.has(file) && !file.endsWith('/run.ts')) wrong.push(`${file} is run and imported by nobody`)
  }
  t.same(wrong, [])
  t.end()
})

t.test('time, chance, disk and network come through lib/runtime only', (t) => {
  const wrong: string[] = []
  for (const file of files) {
    if (!room(file) || file.startsWith('lib/runtime/node/')) continue
    readFileSync(join(ROOT, file), 'utf8')
      .split('\n')
      .forEach((line, index) => {
        if (DOORS.test(line) && !/^\s*(\*|\/\/)/.test(line)) wrong.push(`${file}:${index + 1} ${line.trim()}`)
      })
  }
  t.same(wrong, [])
  t.end()
})

t.test('no file of the project names a place of the machine it was written on', (t) => {
  const wrong = files.filter((file) =>
    /\/(?:work|root|home\/[a-z]+)\//.test(readFileSync(join(ROOT, file), 'utf8').replace(/\/\(\?:work.*$/m, '')),
  )
  t.same(wrong, [])
  t.end()
})
