/** A node as a process of its own, for tools that load it, kill it, and look what is left. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE = join(dirname(fileURLToPath(import.meta.url)), '../node.js')
const START_MS = 30_000
const STOP_MS = 40_000

export interface NodeProcess {
  readonly process: ChildProcess
  readonly port: number
  /** From the start of the process until it said that it listens. */
  readonly startMs: number
}

/** Rejects with the node's output when it ends or stays silent. */
export async function startProcess(options: readonly string[]): Promise<NodeProcess> {
  const began = performance.now()
  const child = spawn(process.execPath, [NODE, '--port', '0', ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  const kill = (): void => {
    child.kill('SIGKILL')
  }
  // Before the folders go that it writes to.
  process.prependOnceListener('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  let output = ''
  const port = await new Promise<number>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the node did not start:\n${output}`))
    }, START_MS)
    child.stderr.on('data', (chunk) => {
      output += String(chunk)
    })
    child.stdout.on('data', (chunk) => {
      if (output.length < 65_536) output += String(chunk)
      const found = /Starting listening for CQL clients on \/\S+:(\d+)/.exec(output)
      if (!found) return
      clearTimeout(late)
      resolve(Number(found[1]))
    })
    child.once('exit', (code, signal) => {
      clearTimeout(late)
      reject(new Error(`the node ended (${code ?? signal}):\n${output}`))
    })
  })
  return { process: child, port, startMs: performance.now() - began }
}

/** One that nobody listens on now. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Resolves when somebody listens there: what a node opens after it serves CQL. */
export async function listening(port: number, address = '127.0.0.1'): Promise<void> {
  for (const ends = performance.now() + START_MS; ; ) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ host: address, port }, () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (isThere) return
    if (performance.now() > ends) throw new Error(`nobody listens on ${address}:${port}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Resolves with the exit code, or the signal's name. */
export async function endProcess(node: NodeProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string> {
  const { process: child } = node
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode ?? 'unknown'
  const ended = new Promise<number | string>((resolve) =>
    child.once('exit', (code, name) => resolve(code ?? name ?? 'unknown')),
  )
  child.kill(signal)
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  const result = await ended
  clearTimeout(late)
  return result
}

/** Resident bytes of a process and the CPU seconds it took, from /proc; NaN where there is none. */
export function processUsage(pid: number | undefined): { rssBytes: number; cpuSeconds: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { rssBytes: Number(fields[21]) * 4096, cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100 }
  } catch {
    return { rssBytes: Number.NaN, cpuSeconds: Number.NaN }
  }
}
