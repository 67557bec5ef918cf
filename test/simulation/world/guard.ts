/**
 * While a simulation runs, the real world is out of reach: real time, chance, disk, network and threads throw. What would make a run differ from its
 * repetition is found at once, and by its stack.
 */
import crypto from 'node:crypto'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { performance } from 'node:perf_hooks'

type Holder = Record<string, unknown>

const FORBIDDEN: readonly { readonly owner: object; readonly label: string; readonly names: readonly string[] }[] = [
  { owner: globalThis, label: '', names: ['setTimeout', 'setInterval', 'setImmediate', 'fetch'] },
  { owner: performance, label: 'performance.', names: ['now'] },
  { owner: Math, label: 'Math.', names: ['random'] },
  {
    owner: crypto,
    label: 'crypto.',
    names: ['randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID'],
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
]

/** Closes the doors until it is disposed. */
export function guardRealWorld(): Disposable {
  const undo: (() => void)[] = []
  for (const { owner, label, names } of FORBIDDEN) {
    for (const name of names) {
      const holder = owner as Holder
      const own = Object.getOwnPropertyDescriptor(holder, name)
      const stub = (): never => {
        throw new Error(`${label}${name} was used in a simulation`)
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
      if (args.length === 0) throw new Error('new Date() was used in a simulation')
      return Reflect.construct(target, args, newTarget) as object
    },
    apply() {
      throw new Error('Date() was used in a simulation')
    },
    get(target, name, receiver) {
      if (name === 'now') throw new Error('Date.now was used in a simulation')
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
