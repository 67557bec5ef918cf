/**
 * While a simulation runs, the real world is out of reach: real time, chance, disk, network, threads and what tells of this process throw. What would make a
 * run differ from its repetition is found at once, and by its stack; told as well as thrown, for whoever calls may catch what it takes for a failure of his disk.
 */
import childProcess from 'node:child_process'
import crypto from 'node:crypto'
import dns from 'node:dns'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import os from 'node:os'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import workers from 'node:worker_threads'
import zlib from 'node:zlib'

type Holder = Record<string, unknown>

const FORBIDDEN: readonly { readonly owner: object; readonly label: string; readonly names: readonly string[] }[] = [
  {
    owner: globalThis,
    label: '',
    names: ['setTimeout', 'setInterval', 'setImmediate', 'fetch', 'FinalizationRegistry', 'WeakRef'],
  },
  { owner: performance, label: 'performance.', names: ['now'] },
  // Not hrtime, which who runs the tests asks meanwhile: the trace tells of it.
  { owner: process, label: 'process.', names: ['uptime', 'cpuUsage', 'memoryUsage', 'resourceUsage'] },
  { owner: os, label: 'os.', names: ['uptime', 'freemem', 'totalmem', 'loadavg', 'cpus', 'networkInterfaces'] },
  { owner: Math, label: 'Math.', names: ['random'] },
  {
    owner: crypto,
    label: 'crypto.',
    names: [
      'randomBytes',
      'randomFill',
      'randomFillSync',
      'randomInt',
      'randomUUID',
      // Done in other threads, whenever these are ready.
      'pbkdf2',
      'scrypt',
      'generateKeyPair',
    ],
  },
  { owner: globalThis.crypto, label: 'crypto.', names: ['randomUUID', 'getRandomValues'] },
  {
    owner: fs,
    label: 'fs.',
    names: [
      'open',
      'openSync',
      'readFile',
      'readFileSync',
      'writeFile',
      'writeFileSync',
      'stat',
      'statSync',
      'mkdirSync',
    ],
  },
  {
    owner: fs.promises,
    label: 'fs.promises.',
    names: ['open', 'readFile', 'writeFile', 'stat', 'mkdir', 'readdir', 'rm'],
  },
  { owner: net, label: 'net.', names: ['connect', 'createConnection', 'createServer'] },
  { owner: dns, label: 'dns.', names: ['lookup'] },
  { owner: childProcess, label: 'child_process.', names: ['spawn', 'fork', 'exec', 'execFile'] },
  { owner: workers, label: 'worker_threads.', names: ['Worker'] },
  { owner: zlib, label: 'zlib.', names: ['deflate', 'inflate', 'gzip', 'gunzip', 'deflateRaw', 'inflateRaw'] },
]

/** Closes the doors until it is disposed. `used`: is told what somebody wanted. */
export function guardRealWorld(used: (what: string) => void = () => {}): Disposable {
  const undo: (() => void)[] = []
  const refuse = (what: string): never => {
    const error = new Error(`${what} was used in a simulation`)
    used(error.stack!)
    throw error
  }
  for (const { owner, label, names } of FORBIDDEN) {
    for (const name of names) {
      const holder = owner as Holder
      const own = Object.getOwnPropertyDescriptor(holder, name)
      // A function of its own: what is made by `new` must be one.
      const stub = function stub(): never {
        return refuse(label + name)
      }
      Object.defineProperty(holder, name, { value: stub, configurable: true, writable: true })
      undo.push(() => {
        if (own) Object.defineProperty(holder, name, own)
        else delete holder[name]
      })
    }
  }
  const RealDate = globalThis.Date
  globalThis.Date = new Proxy(RealDate, {
    construct(target, args, newTarget) {
      if (args.length === 0) refuse('new Date()')
      return Reflect.construct(target, args, newTarget) as object
    },
    apply() {
      return refuse('Date()')
    },
    get(target, name, receiver) {
      if (name === 'now') return () => refuse('Date.now')
      return Reflect.get(target, name, receiver) as unknown
    },
  })
  undo.push(() => {
    globalThis.Date = RealDate
  })
  syncBuiltinESMExports()
  return {
    [Symbol.dispose]() {
      for (const one of undo.reverse()) one()
      syncBuiltinESMExports()
    },
  }
}
