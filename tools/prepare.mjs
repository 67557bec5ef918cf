/**
 * Makes a fresh clone ready to run: installs when package-lock.json is newer than what is installed, builds when a source is newer than
 * the build. A linked node_modules belongs to another clone, and an installation would empty it: it is taken as it is. Quick when nothing changed. Plain JavaScript, for it runs before anything is built.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const SOURCES = ['lib', 'protocol', 'storage', 'cluster', 'tools', 'test']

export function prepare() {
  if (!isLinked('node_modules') && modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
    run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], 'installing packages')
  }
  const built = modified('dist/.tsbuildinfo')
  if (built === 0 || newest(SOURCES) > built || modified('tsconfig.json') > built) {
    rmSync(join(ROOT, 'dist/.tsbuildinfo'), { force: true })
    run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', ROOT], 'building')
  }
}

function run(command, args, what) {
  process.stderr.write(`polyxena: ${what} …\n`)
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (status === 0) return
  process.stderr.write(`polyxena: ${what} failed${error ? `: ${error.message}` : ''}\n`)
  process.exit(1)
}

function isLinked(path) {
  return lstatSync(join(ROOT, path), { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}

function modified(path) {
  const full = join(ROOT, path)
  return existsSync(full) ? statSync(full).mtimeMs : 0
}

function newest(folders) {
  let latest = 0
  for (const folder of folders) {
    for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })) {
      if (!entry.name.endsWith('.ts')) continue
      latest = Math.max(latest, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs)
    }
  }
  return latest
}
