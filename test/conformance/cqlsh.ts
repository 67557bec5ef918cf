/**
 * cqlsh 6.2 against a node: each session of test/golden/cqlsh is run, and its output compared with the text recorded from Cassandra 5.0.6.
 * `RECORD=1 ADDRESS=a:port` writes the texts anew. Sessions change nothing outside keyspaces of their own.
 * What no two servers share (ids, addresses, owned ranges) and how fast COPY was is masked on both sides. What COPY writes goes to a folder that is
 * removed.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const SESSION_MS = 60_000

export interface CqlshTarget {
  readonly cqlsh: string
  readonly address: string
  readonly port: string
}

/** One line for each session, `ok - …` or `not ok - …` with the first line that differs. */
export async function runCqlshSessions(target: CqlshTarget, folder: string): Promise<string[]> {
  const lines: string[] = []
  for (const file of readdirSync(folder).sort())
    if (file.endsWith('.cql')) lines.push(await runSession(target, folder, basename(file, '.cql')))
  return lines
}

async function runSession(target: CqlshTarget, folder: string, name: string): Promise<string> {
  const words = ['--no-color', '-f', join(folder, `${name}.cql`), target.address, target.port]
  const cwd = mkdtempSync(join(tmpdir(), 'polyxena-cqlsh-'))
  const env = { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8', COLUMNS: '80' }
  const { stdout, stderr } = await new Promise<{ stdout: string; stderr: string }>((resolve) => {
    // Errors of statements make its exit status, and are part of the text.
    execFile(target.cqlsh, words, { cwd, timeout: SESSION_MS, env }, (_, stdout, stderr) => resolve({ stdout, stderr }))
  })
  rmSync(cwd, { recursive: true, force: true })
  const got = masked(`${stdout}--- errors\n${stderr}`.replaceAll(`${folder}/`, ''), target)
  const golden = join(folder, `${name}.txt`)
  if (process.env.RECORD === '1') writeFileSync(golden, got)
  const wanted = readFileSync(golden, 'utf8')
  if (got === wanted) return `ok - ${name}`
  const gotLines = got.split('\n')
  const wantedLines = wanted.split('\n')
  const at = gotLines.findIndex((line, i) => line !== wantedLines[i])
  const line = at < 0 ? gotLines.length : at
  return `not ok - ${name}, line ${line + 1}: ${gotLines[line] ?? 'nothing'}\n  wanted: ${wantedLines[line] ?? 'nothing'}`
}

function masked(output: string, { address, port }: CqlshTarget): string {
  return output
    .replaceAll(`${address}:${port}`, '<address>')
    .replaceAll(`[${address}/${address}:7000]`, `[/${address}:7000]`) // Cassandra's, once it has looked up the name
    .replaceAll(`/${address}:7000`, '/<storage address>')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/(^ +-?\d+ {2}\[\/<storage address>\]\n)+/gm, '<ranges>\n')
    .replace(/(\r?Processed: \d+ rows; .*[\r\n]+)+/g, '<progress>\n')
    .replace(/( \d+ files?) in .* seconds?/g, '$1 in <time>')
    .replace(/DROP (\S+) USING TIMESTAMP \d+/g, 'DROP $1 USING TIMESTAMP <time>')
}
