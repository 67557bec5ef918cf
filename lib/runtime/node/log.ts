/**
 * Log lines in the form that Cassandra's tools and scripts grep: `INFO  [main] 2026-11-21 01:15:18,144 Node.ts - message`.
 * Control characters are escaped, so that nothing a client sends can forge a line.
 */
import type { Log, LogLevel } from '../runtime.ts'

const RANKS: Record<LogLevel, number> = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4 }

export function createTextLog(options: { level: LogLevel; write: (line: string) => void }): Log {
  const lowest = RANKS[options.level]
  const line = (level: LogLevel, source: string, message: string): void => {
    if (RANKS[level] < lowest) return
    const time = new Date(Date.now()).toISOString().replace('T', ' ').replace('.', ',').replace('Z', '')
    options.write(`${level.padEnd(5)} [main] ${time} ${source} - ${escapeControl(message)}\n`)
  }
  return {
    trace: (source, message) => line('TRACE', source, message),
    debug: (source, message) => line('DEBUG', source, message),
    info: (source, message) => line('INFO', source, message),
    warn: (source, message) => line('WARN', source, message),
    error(source, message, cause) {
      line('ERROR', source, message)
      if (cause !== undefined && RANKS.ERROR >= lowest) options.write(`${describeCause(cause)}\n`)
    },
  }
}

export const SILENT_LOG: Log = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

function describeCause(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}

function escapeControl(text: string): string {
  let clean = ''
  for (const character of text) {
    const code = character.codePointAt(0)!
    clean += code < 0x20 || code === 0x7f ? `\\x${code.toString(16).padStart(2, '0')}` : character
  }
  return clean
}
