/** What `polyxena --help` shows: every option there is, from the table of settings. */
import { SETTINGS, type SettingName } from '../lib/config/settings.ts'

const WIDTH = 100

export function helpText(): string {
  const lines = [
    'polyxena: a Cassandra-compatible database node',
    '',
    'Usage: polyxena [--address 127.0.0.1] [--port 9042] [--data ./data] [--memory] [--config FILE] [--dc NAME] [--rack NAME] [--seeds A,B]',
    '',
    '  --address A          same as --rpc-address',
    '  --port N             same as --native-transport-port',
    '  --data DIR           same as --data-file-directories',
    '  --memory             keep nothing on disk',
    '  --config FILE        settings, in YAML with the keys of cassandra.yaml; polyxena.yaml is read if it is there',
    '  --help, --version',
    '',
    'Every setting is a flag, a variable (POLYXENA_COMMITLOG_SYNC) and a key of the file (commitlog_sync); flags go first, then variables.',
    '',
  ]
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const { form, help, defaultValue } = SETTINGS[name]
    lines.push(`  --${name.replaceAll('_', '-')} ${form}`)
    lines.push(...wrap(`${help}${describeDefault(form, defaultValue)}`, WIDTH - 6).map((line) => `      ${line}`))
  }
  return `${lines.join('\n')}\n`
}

function describeDefault(form: string, value: unknown): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return ''
  if (form === 'SIZE' || form === 'RATE') return ` Default ${size(Number(value))}${form === 'RATE' ? '/s' : ''}.`
  return form === 'DURATION' ? ` Default ${value}ms.` : ` Default ${String(value)}.`
}

function size(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return `${bytes}B`
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  lines.push(line)
  return lines
}
