/** Where the plan's partitions, clusterings and bounds are in a store: the bytes that stand for their names. */
import { createSeededRandom } from '../../../lib/runtime/simulated/random.ts'
import { END_OF_PARTITION, START_OF_PARTITION } from '../../../storage/model/command.ts'
import type { Plan } from './plan.ts'

export interface Partition {
  readonly key: string
  readonly high: number
  readonly low: number
  readonly position: Buffer
}

/** The plan's partitions in the order of their positions; their tokens follow from the seed, and some clash. */
export function partitionsOf({ seed, shape }: Plan): Partition[] {
  const random = createSeededRandom(seed ^ 0x5bd1e995)
  let last = { high: 0, low: 0 }
  const partitions = shape.partitions.map((key): Partition => {
    if (random.float() < 0.9)
      last = { high: Math.floor(random.float() * 2 ** 32) | 0, low: Math.floor(random.float() * 2 ** 32) | 0 }
    const head = Buffer.alloc(10)
    head.writeInt32BE(last.high ^ 0x80000000, 0)
    head.writeInt32BE(last.low, 4)
    head.writeUInt16BE(key.length, 8)
    return { key, ...last, position: Buffer.concat([head, latin(key)]) }
  })
  return partitions.sort((a, b) => a.position.compare(b.position))
}

export function latin(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

export function bound(text: string): Buffer {
  if (text === '') return START_OF_PARTITION
  return text === '\xff' ? END_OF_PARTITION : latin(text)
}
