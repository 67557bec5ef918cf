/** A node of `npm run cluster`: a process of its own, out of the terminal's process group, so that Ctrl-C reaches whoever runs the cluster, once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { PlannedNode } from './plan.ts'
import type { Phase } from './screen.ts'

const NODE = join(dirname(fileURLToPath(import.meta.url)), '../node.js')

/** What is kept of a node's last words, in case that it ends. */
const WORDS_MAX = 4_000

export class ClusterProcess {
  readonly plan: PlannedNode
  readonly logFile: string
  readonly started: Promise<void>
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  #phase: Phase = 'starting'
  #ending = ''
  #words = ''

  constructor(plan: PlannedNode) {
    this.plan = plan
    mkdirSync(plan.directory, { recursive: true })
    this.logFile = join(plan.directory, 'log.txt')
    const log = createWriteStream(this.logFile, { flags: 'a' })
    const child = spawn(process.execPath, [NODE, ...plan.flags], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    this.#child = child
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#phase = 'ended'
        this.#ending = signal === null ? `ended with ${code}` : `ended by ${signal}`
        log.end()
        resolve()
      })
    })
    this.started = new Promise((resolve, reject) => {
      const hear = (chunk: Buffer): void => {
        log.write(chunk)
        this.#words = (this.#words + chunk.toString('utf8')).slice(-WORDS_MAX)
        if (this.#phase !== 'starting' || !this.#words.includes('serves CQL on')) return
        this.#phase = 'serving'
        resolve()
      }
      child.stdout?.on('data', hear)
      child.stderr?.on('data', hear)
      child.once('error', reject)
      void this.ended.then(() => reject(new Error(this.lastWords())))
    })
    this.started.catch(() => {})
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get phase(): Phase {
    return this.#phase
  }

  get ending(): string {
    return this.#ending
  }

  /** What it said to the operator before it ended, or else the end of its log. */
  lastWords(): string {
    const lines = this.#words.trimEnd().split('\n')
    const told = lines.filter((line) => line.startsWith('polyxena: '))
    return (told.length > 0 ? told.map((line) => line.slice('polyxena: '.length)) : lines.slice(-5)).join('\n')
  }

  /** It answers what is in flight and writes all down; with `now` it is killed. */
  stop(now: boolean): void {
    if (this.#phase === 'ended') return
    this.#phase = 'stopping'
    this.#child.kill(now ? 'SIGKILL' : 'SIGTERM')
  }
}
