/**
 * Causal contexts: which dots somebody has seen. For each actor a set of intervals (low, high] of counters, exact: no dot is in it that was not seen,
 * or that its actor had given to another row. Source: version vectors with exceptions; Preguiça et al., Dotted Version Vectors (2012).
 *
 * context := entry*                                                actors ascend
 * entry   := actor 8 | number of bounds varuint | bound 8 *        bounds ascend: low, high, low, high, …; a low of 0 is left out (their number is odd then)
 * dot     := actor 8 | counter 8                                   the counter is µs since 1970, below 2^53
 *
 * The actor of eight zeros stands for what was written before the table kept versions: it has one interval from the beginning, whose end is a
 * timestamp (any signed one, its sign bit flipped). See docs/formats.md.
 * Always: equal sets of dots are equal bytes.
 */
import { ByteReader, BytesError, ByteWriter } from '../../../lib/base/bytes.ts'
import { compareRanges, readInt32 } from '../row.ts'

export const ACTOR_BYTES = 8
export const DOT_BYTES = 16
const BOUND_BYTES = 8
const HIGH = 2 ** 32
/** Of the upper half of a counter. */
const HIGH_MAX = 2 ** 21

/** No clock gives a greater counter (the year 2112): who hands one in has not got it from a read. */
export const COUNTER_MAX = 2 ** 52

/** Nothing was seen. */
export const NO_CONTEXT: Buffer = Buffer.alloc(0)

/** A dot's counter; the dot, or a bound, ends 8 bytes further on. */
export function readCounter(bytes: Uint8Array, at: number): number {
  return (readInt32(bytes, at) >>> 0) * HIGH + (readInt32(bytes, at + 4) >>> 0)
}

export const MICROS_PER_SECOND = 1_000_000

/** A counter as the two halves of a timestamp. */
export function counterHigh(counter: number): number {
  return Math.floor(counter / HIGH)
}

export function counterLow(counter: number): number {
  return (counter % HIGH) >>> 0
}

function writeCounter(out: ByteWriter, counter: number): void {
  out.int32(counterHigh(counter))
  out.int32(counterLow(counter))
}

export function makeDot(actor: Uint8Array, counter: number): Buffer {
  const dot = Buffer.allocUnsafe(DOT_BYTES)
  dot.set(actor)
  dot.writeUInt32BE(counterHigh(counter), ACTOR_BYTES)
  dot.writeUInt32BE(counterLow(counter), ACTOR_BYTES + 4)
  return dot
}

/** The context of one interval of one actor. */
export function makeContext(actor: Uint8Array, low: number, high: number): Buffer {
  const out = new ByteWriter(ACTOR_BYTES + 1 + 2 * BOUND_BYTES)
  appendInterval(out, actor, low, high)
  return out.view()
}

export function appendInterval(out: ByteWriter, actor: Uint8Array, low: number, high: number): void {
  out.bytes(actor)
  out.uint8(low === 0 ? 1 : 2)
  if (low !== 0) writeCounter(out, low)
  writeCounter(out, high)
}

/** Walks over a context's entries; it trusts the bytes. */
class Entries {
  readonly bytes: Uint8Array
  readonly #end: number
  /** Where the entry's actor stands, and its bounds. */
  actorAt = 0
  boundsAt = 0
  bounds = 0
  /** Where the next entry begins. */
  end: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes
    this.end = start
    this.#end = end
  }

  next(): boolean {
    if (this.end >= this.#end) return false
    const { bytes } = this
    this.actorAt = this.end
    let at = this.end + ACTOR_BYTES
    let byte = bytes[at++]!
    let bounds = byte & 0x7f
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[at++]!
      bounds |= (byte & 0x7f) << shift
    }
    this.boundsAt = at
    this.bounds = bounds
    this.end = at + bounds * BOUND_BYTES
    return true
  }

  /** Whether the counter 8 bytes of which stand there are in one of the entry's intervals. */
  covers(dot: Uint8Array, counterAt: number): boolean {
    // The number of bounds below it says on which side of an interval's edges it lies.
    let below = 0
    let end = this.bounds
    while (below < end) {
      const middle = (below + end) >>> 1
      if (compareBounds(this.bytes, this.boundsAt + middle * BOUND_BYTES, dot, counterAt) < 0) below = middle + 1
      else end = middle
    }
    return below < this.bounds && ((this.bounds - below) & 1) === 1
  }

  get isLegacy(): boolean {
    return isLegacyActor(this.bytes, this.actorAt)
  }

  get last(): number {
    return readCounter(this.bytes, this.end - BOUND_BYTES)
  }
}

/** Whether the actor there, or that of the dot there, is the one of what has no dots. */
export function isLegacyActor(bytes: Uint8Array, at: number): boolean {
  return (readInt32(bytes, at) | readInt32(bytes, at + 4)) === 0
}

/** Order of two actors, or of two bounds. */
function compareBounds(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): number {
  const high = (readInt32(a, aAt) >>> 0) - (readInt32(b, bAt) >>> 0)
  return high !== 0 ? high : (readInt32(a, aAt + 4) >>> 0) - (readInt32(b, bAt + 4) >>> 0)
}

/** Throws BytesError unless the bytes are a context as this file writes it. Returns the greatest counter that was seen; 0: none was. */
export function validateContext(bytes: Buffer, start = 0, end: number = bytes.length): number {
  let greatest = 0
  let last = -1
  for (let at = start; at < end; ) {
    const actorAt = at
    at += ACTOR_BYTES
    if (at >= end) throw new BytesError('a context ends early')
    if (last >= 0 && compareBounds(bytes, last, bytes, actorAt) >= 0) throw new BytesError('actors out of order')
    last = actorAt
    let bounds = bytes[at++]!
    if (bounds >= 0x80) {
      const reader = new ByteReader(bytes, at - 1, end)
      bounds = reader.varuint()
      at = reader.position
      if (bytes[at - 1] === 0) throw new BytesError('number of bounds in a context')
    }
    if (bounds === 0) throw new BytesError('number of bounds in a context')
    const boundsEnd = at + bounds * BOUND_BYTES
    if (boundsEnd > end) throw new BytesError('a context ends early')
    if (isLegacyActor(bytes, actorAt)) {
      if (bounds !== 1) throw new BytesError('intervals of what has no dots')
      at = boundsEnd
      continue
    }
    // A low of 0 is left out, and so is an interval without dots.
    let before = 0
    for (; at < boundsEnd; at += BOUND_BYTES) {
      if (readInt32(bytes, at) >>> 0 >= HIGH_MAX) throw new BytesError('bound beyond all counters')
      const counter = readCounter(bytes, at)
      if (counter <= before) throw new BytesError('bounds out of order')
      before = counter
    }
    if (before > greatest) greatest = before
  }
  return greatest
}

/** What either has seen. */
export function joinContexts(a: Buffer, b: Buffer): Buffer {
  if (a.length === 0 || a.equals(b)) return b
  if (b.length === 0) return a
  const out = new ByteWriter(a.length + b.length)
  appendJoined(out, a, 0, a.length, b, 0, b.length)
  return out.view()
}

/** Appends what a[aStart, aEnd) or b[bStart, bEnd) has seen. */
export function appendJoined(
  out: ByteWriter,
  a: Buffer,
  aStart: number,
  aEnd: number,
  b: Buffer,
  bStart: number,
  bEnd: number,
): void {
  const left = new Entries(a, aStart, aEnd)
  const right = new Entries(b, bStart, bEnd)
  let moreLeft = left.next()
  let moreRight = right.next()
  while (moreLeft || moreRight) {
    const order = !moreRight ? -1 : !moreLeft ? 1 : compareBounds(a, left.actorAt, b, right.actorAt)
    if (order < 0) out.slice(a, left.actorAt, left.end)
    else if (order > 0) out.slice(b, right.actorAt, right.end)
    else appendEntry(out, left, right)
    if (order <= 0) moreLeft = left.next()
    if (order >= 0) moreRight = right.next()
  }
}

/** Two entries of one actor as one. */
function appendEntry(out: ByteWriter, a: Entries, b: Entries): void {
  const whole = wholeOf(a, b)
  if (whole !== null) {
    out.slice(whole.bytes, whole.actorAt, whole.end)
    return
  }
  if (a.bounds === 2 && b.bounds === 2 && meet(a, b)) {
    appendOne(out, a, b)
    return
  }
  appendBounds(out, a.bytes, a.actorAt, joinBounds(boundsOf(a), boundsOf(b)))
}

/** That of the two which is both; null: neither, as far as one sees at once. */
function wholeOf(a: Entries, b: Entries): Entries | null {
  if (b.bounds === 1 && endsIn(b, a)) return a
  if (a.bounds === 1 && endsIn(a, b)) return b
  return compareRanges(a.bytes, a.boundsAt, a.end, b.bytes, b.boundsAt, b.end) === 0 ? a : null
}

/** Whether a, one interval from the beginning, ends within b's own first interval, which is from the beginning, too. */
function endsIn(a: Entries, b: Entries): boolean {
  return (b.bounds & 1) === 1 && compareBounds(a.bytes, a.boundsAt, b.bytes, b.boundsAt) <= 0
}

/** Whether two intervals overlap or adjoin. */
function meet(a: Entries, b: Entries): boolean {
  return (
    compareBounds(a.bytes, a.boundsAt, b.bytes, b.boundsAt + BOUND_BYTES) <= 0 &&
    compareBounds(b.bytes, b.boundsAt, a.bytes, a.boundsAt + BOUND_BYTES) <= 0
  )
}

/** Two intervals that meet, as one. */
function appendOne(out: ByteWriter, a: Entries, b: Entries): void {
  const lower = compareBounds(a.bytes, a.boundsAt, b.bytes, b.boundsAt) <= 0 ? a : b
  const higher = compareBounds(a.bytes, a.boundsAt + BOUND_BYTES, b.bytes, b.boundsAt + BOUND_BYTES) >= 0 ? a : b
  out.slice(lower.bytes, lower.actorAt, lower.boundsAt + BOUND_BYTES)
  out.slice(higher.bytes, higher.boundsAt + BOUND_BYTES, higher.end)
}

/** Low, high, low, high … */
function boundsOf({ bytes, boundsAt, bounds }: Entries): number[] {
  const found: number[] = (bounds & 1) === 1 ? [0] : []
  for (let i = 0; i < bounds; i++) found.push(readCounter(bytes, boundsAt + i * BOUND_BYTES))
  return found
}

/** The intervals of both, those that overlap or adjoin as one. */
function joinBounds(a: readonly number[], b: readonly number[]): number[] {
  const joined: number[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const fromA = j >= b.length || (i < a.length && a[i]! <= b[j]!)
    const low = fromA ? a[i]! : b[j]!
    const high = fromA ? a[i + 1]! : b[j + 1]!
    if (fromA) i += 2
    else j += 2
    const last = joined.length - 1
    if (last >= 0 && low <= joined[last]!) joined[last] = Math.max(joined[last]!, high)
    else joined.push(low, high)
  }
  return joined
}

/** Whether the context, which lies in context[start, end), has seen the dot that begins at `dotStart` of the bytes. */
export function coversDot(
  context: Uint8Array,
  bytes: Uint8Array,
  dotStart: number,
  start = 0,
  end: number = context.length,
): boolean {
  const entries = new Entries(context, start, end)
  while (entries.next()) {
    const order = compareBounds(context, entries.actorAt, bytes, dotStart)
    if (order === 0) return entries.covers(bytes, dotStart + ACTOR_BYTES)
    if (order > 0) return false
  }
  return false
}

/** Whether a has seen all that b has. */
export function coversContext(a: Buffer, b: Buffer): boolean {
  const entries = new Entries(a)
  const wanted = new Entries(b)
  while (wanted.next()) {
    let order = -1
    while (order < 0 && entries.next()) order = compareBounds(a, entries.actorAt, b, wanted.actorAt)
    if (order !== 0 || !coversEntry(entries, wanted)) return false
  }
  return true
}

/** Of one actor. */
function coversEntry(a: Entries, b: Entries): boolean {
  if (a.isLegacy) return compareBounds(a.bytes, a.boundsAt, b.bytes, b.boundsAt) >= 0
  const own = boundsOf(a)
  const wanted = boundsOf(b)
  let i = 0
  for (let j = 0; j < wanted.length; j += 2) {
    while (i < own.length && own[i + 1]! < wanted[j + 1]!) i += 2
    if (i >= own.length || own[i]! > wanted[j]!) return false
  }
  return true
}

/** Of all dots that were seen; 0: none was. What has no dots does not count. */
export function greatestCounter(context: Uint8Array, start = 0, end: number = context.length): number {
  const entries = new Entries(context, start, end)
  let greatest = 0
  while (entries.next()) if (!entries.isLegacy) greatest = Math.max(greatest, entries.last)
  return greatest
}

/** How many actors it names. */
export function contextSize(context: Uint8Array): number {
  const entries = new Entries(context)
  let size = 0
  while (entries.next()) size++
  return size
}

/** The greatest counter of this actor that was seen; 0: none. */
export function lastCounter(context: Uint8Array, actor: Uint8Array, start = 0, end: number = context.length): number {
  const entries = new Entries(context, start, end)
  while (entries.next()) if (compareBounds(context, entries.actorAt, actor, 0) === 0) return entries.last
  return 0
}

/** Whether it has seen something that was written before the table kept versions. */
export function coversLegacy(context: Uint8Array, start = 0, end: number = context.length): boolean {
  return end > start && isLegacyActor(context, start)
}

/** The timestamp up to which it has seen what was written before the table kept versions; null: none. */
export function legacyTimestamp(context: Uint8Array): { readonly high: number; readonly low: number } | null {
  if (!coversLegacy(context)) return null
  const at = ACTOR_BYTES + 1
  return { high: readInt32(context, at) ^ 0x80000000, low: readInt32(context, at + 4) >>> 0 }
}

/** What has seen all that was written before the table kept versions, up to the timestamp. */
export function makeLegacyContext(tsHigh: number, tsLow: number): Buffer {
  const context = Buffer.alloc(ACTOR_BYTES + 1 + BOUND_BYTES)
  context[ACTOR_BYTES] = 1
  context.writeInt32BE(tsHigh ^ 0x80000000, ACTOR_BYTES + 1)
  context.writeInt32BE(tsLow | 0, ACTOR_BYTES + 5)
  return context
}

export interface ContextEntry {
  /** Where its actor stands; the entry ends at `end`. */
  readonly actorAt: number
  readonly end: number
  /** The greatest counter that was seen of it. */
  readonly last: number
}

export function contextEntries(bytes: Uint8Array, start: number, end: number): ContextEntry[] {
  const entries = new Entries(bytes, start, end)
  const found: ContextEntry[] = []
  while (entries.next()) found.push({ actorAt: entries.actorAt, end: entries.end, last: entries.last })
  return found
}

/**
 * Appends what the context says of actors of versions, and of their twins (causal/delta.ts) if `withTwins`; not of what has no dots. An interval of an
 * actor of versions is joined with it.
 */
export function appendDottedWith(
  out: ByteWriter,
  context: Buffer,
  withTwins: boolean,
  actor: Uint8Array,
  low: number,
  high: number,
): void {
  const entries = new Entries(context)
  let isWritten = false
  while (entries.next()) {
    const order = isWritten ? 1 : compareBounds(context, entries.actorAt, actor, 0)
    if (order === 0) {
      isWritten = true
      const { bounds, boundsAt } = entries
      if (
        bounds === 2 &&
        readCounter(context, boundsAt) <= low &&
        readCounter(context, boundsAt + BOUND_BYTES) >= low
      ) {
        out.slice(context, entries.actorAt, boundsAt + BOUND_BYTES)
        writeCounter(out, Math.max(high, entries.last))
      } else appendBounds(out, actor, 0, joinBounds(boundsOf(entries), [low, high]))
      continue
    }
    const isTwin = (context[entries.actorAt + ACTOR_BYTES - 1]! & 1) === 1
    if ((isTwin && !withTwins) || entries.isLegacy) continue
    if (order > 0 && !isWritten) {
      isWritten = true
      appendInterval(out, actor, low, high)
    }
    out.slice(context, entries.actorAt, entries.end)
  }
  if (!isWritten) appendInterval(out, actor, low, high)
}

/** Of the last dots of its actors the greatest counter less the least, and how many actors there are. */
export function spanOf(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly span: number; readonly size: number } {
  const entries = new Entries(bytes, start, end)
  let newest = 0
  let oldest = Number.POSITIVE_INFINITY
  let size = 0
  while (entries.next()) {
    const { last } = entries
    if (last > newest) newest = last
    if (last < oldest) oldest = last
    size++
  }
  return { span: newest - oldest, size }
}

/** The context in bytes[start, end) without some of its entries. */
export function withoutEntries(bytes: Buffer, start: number, end: number, gone: readonly ContextEntry[]): Buffer {
  if (gone.length === 0) return bytes.subarray(start, end)
  const kept: Buffer[] = []
  let at = start
  for (const entry of [...gone].sort((a, b) => a.actorAt - b.actorAt)) {
    kept.push(bytes.subarray(at, entry.actorAt))
    at = entry.end
  }
  kept.push(bytes.subarray(at, end))
  return Buffer.concat(kept)
}

/** What has seen these dots, which ascend, and no others. */
export function contextOfDots(dots: readonly Buffer[]): Buffer {
  const out = new ByteWriter(dots.length * BOUND_BYTES)
  for (let i = 0; i < dots.length; ) {
    const first = dots[i]!
    const bounds: number[] = []
    for (; i < dots.length && compareBounds(dots[i]!, 0, first, 0) === 0; i++) {
      const counter = readCounter(dots[i]!, ACTOR_BYTES)
      const last = bounds.length - 1
      if (last >= 0 && counter - 1 <= bounds[last]!) bounds[last] = counter
      else bounds.push(counter - 1, counter)
    }
    appendBounds(out, first, 0, bounds)
  }
  return out.view()
}

/** What has seen the same but for these dots, which ascend. */
export function withoutDots(context: Buffer, dots: readonly Buffer[]): Buffer {
  const entries = new Entries(context)
  const out = new ByteWriter(context.length + dots.length * BOUND_BYTES)
  let next = 0
  while (entries.next()) {
    const counters: number[] = []
    for (; next < dots.length; next++) {
      const order = compareBounds(dots[next]!, 0, context, entries.actorAt)
      if (order > 0) break
      if (order === 0) counters.push(readCounter(dots[next]!, ACTOR_BYTES))
    }
    if (counters.length === 0 || entries.isLegacy) out.slice(context, entries.actorAt, entries.end)
    else appendBounds(out, context, entries.actorAt, cutOut(boundsOf(entries), counters))
  }
  return out.view()
}

/** The intervals without these counters, which ascend. */
function cutOut(bounds: readonly number[], counters: readonly number[]): number[] {
  const left: number[] = []
  let next = 0
  for (let i = 0; i < bounds.length; i += 2) {
    let low = bounds[i]!
    const high = bounds[i + 1]!
    for (; next < counters.length && counters[next]! <= high; next++) {
      const counter = counters[next]!
      if (counter <= low) continue
      if (counter - 1 > low) left.push(low, counter - 1)
      low = counter
    }
    if (high > low) left.push(low, high)
  }
  return left
}

/** Nothing if there are none. */
function appendBounds(out: ByteWriter, actors: Uint8Array, actorAt: number, bounds: readonly number[]): void {
  if (bounds.length === 0) return
  const isFromStart = bounds[0] === 0
  out.slice(actors, actorAt, actorAt + ACTOR_BYTES)
  out.varuint(isFromStart ? bounds.length - 1 : bounds.length)
  for (let i = isFromStart ? 1 : 0; i < bounds.length; i++) writeCounter(out, bounds[i]!)
}
