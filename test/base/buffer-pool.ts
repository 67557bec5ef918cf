/** Buffers that go round: the one given back last is taken first, and what waits is bounded. */
import t from 'tap'
import { BufferPool } from '../../lib/base/buffer-pool.ts'

t.test('what was given back is taken again, the last first', (t) => {
  const pool = new BufferPool()
  const [a, b] = [pool.take(), pool.take()]
  t.not(a, b)
  pool.give(a)
  pool.give(b)
  t.equal(pool.take(), b)
  t.equal(pool.take(), a)
  t.not(pool.take(), a)
  t.end()
})

t.test('neither small nor huge ones wait, nor more than a few MiB', (t) => {
  const pool = new BufferPool()
  const few: Buffer[] = [Buffer.alloc(100), Buffer.alloc(64 * 1024 * 1024)]
  for (const buffer of few) pool.give(buffer)
  t.notOk(few.includes(pool.take()))
  const many: Buffer[] = Array.from({ length: 100 }, () => Buffer.alloc(200 * 1024))
  for (const buffer of many) pool.give(buffer)
  let bytes = 0
  for (let buffer = pool.take(); many.includes(buffer); buffer = pool.take()) bytes += buffer.length
  t.ok(bytes > 1024 * 1024 && bytes < 8 * 1024 * 1024, `${bytes} bytes wait`)
  t.end()
})
