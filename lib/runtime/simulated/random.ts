/**
 * Chance from a seed: xoshiro128** (Blackman and Vigna, 2018), seeded by splitmix32. A stream's numbers depend on the seed and its name
 * alone, so that a new use of one does not move the others.
 */
import type { Random } from '../runtime.ts'

export function createSeededRandom(seed: number): Random {
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  let state = seed >>> 0
  const splitmix = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  a = splitmix()
  b = splitmix()
  c = splitmix()
  d = splitmix()

  const next = (): number => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result
  }

  return {
    float: () => next() / 0x1_0000_0000,
    fill(target) {
      for (let i = 0; i < target.length; i++) target[i] = next() >>> 24
      return target
    },
    stream: (name) => createSeededRandom((seed ^ hashName(name)) >>> 0),
  }
}

/** FNV-1a. */
function hashName(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
