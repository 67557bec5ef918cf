/**
 * A B+tree of numbers over keys in slabs: nodes are rows of 256 words in a few Uint32Arrays, so that a million entries are no work for the
 * garbage collector. The first 8 bytes of a key (its token) lie in the nodes and are compared first; the rest is read from the slab on a tie.
 * Always: keys ascend along the linked leaves; a leaf may be empty, a node is never given back; separators stay true when leaves change.
 */
import { assert } from '../../lib/base/assert.ts'
import { readInt32 } from '../model/row.ts'
import { NO_ADDRESS, type Slabs } from './slabs.ts'

const NODE_WORD_BITS = 8
const CHUNK_NODE_BITS = 10
const CHUNK_NODES = 1 << CHUNK_NODE_BITS
const CHUNK_NODES_FIRST = 4

const COUNT = 0
const NEXT = 1
const PREVIOUS = 2
const HIGH = 4
const LEAF_SLOTS = 63
const LEAF_LOW = HIGH + LEAF_SLOTS
const LEAF_KEY = LEAF_LOW + LEAF_SLOTS
const LEAF_VALUE = LEAF_KEY + LEAF_SLOTS
const INNER_SLOTS = 62
const INNER_LOW = HIGH + INNER_SLOTS
const INNER_KEY = INNER_LOW + INNER_SLOTS
const INNER_CHILD = INNER_KEY + INNER_SLOTS
/** 62 separators a node: ten levels are more than addresses there are. */
const LEVELS_MAX = 10
/** No node has it. */
const NO_NODE = 0
/** That one, and the first leaf. */
const NODES_FIRST = 2
/** Longer keys are compared by native code, which costs more to call than a short loop. */
const NATIVE_COMPARE_BYTES = 40

export class OrderedIndex {
  readonly slabs: Slabs
  readonly #chunks: Uint32Array[] = [new Uint32Array(CHUNK_NODES_FIRST << NODE_WORD_BITS)]
  #nodes = NODES_FIRST
  #root = 1
  #levels = 0
  #size = 0
  /** Counts changes of structure: positions found before the last one are stale. */
  version = 0

  /** What locate() found: the first entry at or after the key, or the place after a leaf's last. */
  leaf = 1
  slot = 0
  /** Leaf, slot and the path to them are those of the entry that was located or inserted last: no node was split and nothing removed since. */
  #isPlaced = false
  readonly #path = new Uint32Array(LEVELS_MAX)
  readonly #pathSlot = new Uint32Array(LEVELS_MAX)
  /** Leaf whose end took the last entry: keys that ascend leave full leaves behind. */
  #appending = NO_NODE

  #key: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0
  #high = 0
  #low = 0

  constructor(slabs: Slabs) {
    this.slabs = slabs
  }

  get size(): number {
    return this.#size
  }

  /** Bytes of the nodes in use, without those that every index has. */
  get bytes(): number {
    return (this.#nodes - NODES_FIRST) << (NODE_WORD_BITS + 2)
  }

  /** Finds a key's place; true when it is there. */
  locate(key: Buffer, start: number, end: number): boolean {
    this.#aim(key, start, end)
    return this.#descend()
  }

  /** As locate(); quicker where the key comes right after what was located or inserted last, as the rows of one mutation mostly do. */
  locateNear(key: Buffer, start: number, end: number): boolean {
    this.#aim(key, start, end)
    if (this.#isPlaced) {
      const words = this.#words(this.leaf)
      const base = this.#base(this.leaf)
      const next = this.slot + 1
      if (next < words[base + COUNT]! && this.#compare(words, base, this.slot, LEAF_LOW, LEAF_KEY) < 0) {
        const order = this.#compare(words, base, next, LEAF_LOW, LEAF_KEY)
        if (order >= 0) {
          this.slot = next
          return order === 0
        }
      }
    }
    return this.#descend()
  }

  #aim(key: Buffer, start: number, end: number): void {
    this.#key = key
    this.#start = start
    this.#end = end
    if (end - start >= 8) {
      this.#high = readInt32(key, start) >>> 0
      this.#low = readInt32(key, start + 4) >>> 0
    } else this.#padded()
  }

  #descend(): boolean {
    let node = this.#root
    for (let level = this.#levels; level > 0; level--) {
      const words = this.#words(node)
      const base = this.#base(node)
      let from = 0
      let to = words[base + COUNT]!
      while (from < to) {
        const middle = (from + to) >>> 1
        if (this.#compare(words, base, middle, INNER_LOW, INNER_KEY) <= 0) from = middle + 1
        else to = middle
      }
      this.#path[level] = node
      this.#pathSlot[level] = from
      node = words[base + INNER_CHILD + from]!
    }
    const words = this.#words(node)
    const base = this.#base(node)
    let from = 0
    let to = words[base + COUNT]!
    let exact = false
    while (from < to) {
      const middle = (from + to) >>> 1
      const order = this.#compare(words, base, middle, LEAF_LOW, LEAF_KEY)
      if (order < 0) from = middle + 1
      else {
        to = middle
        if (order === 0) {
          exact = true
          from = middle
        }
      }
    }
    this.leaf = node
    this.slot = from
    this.#isPlaced = true
    return exact
  }

  /** Inserts at the place that locate() found for a key that is not there. */
  insert(keyAddress: number, valueAddress: number): void {
    let leaf = this.leaf
    let slot = this.slot
    if (this.#words(leaf)[this.#base(leaf) + COUNT]! === LEAF_SLOTS) {
      const atEnd = slot === LEAF_SLOTS && this.#appending === leaf
      this.#isPlaced = false
      const right = this.#splitLeaf(leaf, atEnd ? LEAF_SLOTS : LEAF_SLOTS >>> 1, keyAddress)
      const leftCount = this.#words(leaf)[this.#base(leaf) + COUNT]!
      if (atEnd || slot > leftCount) {
        leaf = right
        slot -= leftCount
      }
    }
    const words = this.#words(leaf)
    const base = this.#base(leaf)
    const count = words[base + COUNT]!
    if (slot < count) {
      openSlot(words, base, slot, count)
      this.#appending = NO_NODE
    } else this.#appending = leaf
    words[base + HIGH + slot] = this.#high
    words[base + LEAF_LOW + slot] = this.#low
    words[base + LEAF_KEY + slot] = keyAddress
    words[base + LEAF_VALUE + slot] = valueAddress
    words[base + COUNT] = count + 1
    this.#size++
    this.version++
  }

  /** Takes away the entry that locate() found. */
  remove(): void {
    const words = this.#words(this.leaf)
    const base = this.#base(this.leaf)
    const count = words[base + COUNT]!
    const from = this.slot + 1
    shift(words, base + HIGH, from, count, -1)
    shift(words, base + LEAF_LOW, from, count, -1)
    shift(words, base + LEAF_KEY, from, count, -1)
    shift(words, base + LEAF_VALUE, from, count, -1)
    words[base + COUNT] = count - 1
    this.#isPlaced = false
    this.#size--
    this.version++
    this.#appending = NO_NODE
  }

  count(leaf: number): number {
    return this.#words(leaf)[this.#base(leaf) + COUNT]!
  }

  /** The words in which the leaf lies, until the next change of structure; its keys begin at keysOf(leaf), its values at valuesOf(leaf). */
  wordsOf(leaf: number): Uint32Array {
    return this.#words(leaf)
  }

  keysOf(leaf: number): number {
    return this.#base(leaf) + LEAF_KEY
  }

  valuesOf(leaf: number): number {
    return this.#base(leaf) + LEAF_VALUE
  }

  valueAt(leaf: number, slot: number): number {
    return this.#words(leaf)[this.#base(leaf) + LEAF_VALUE + slot]!
  }

  /** Gives the entry that locate() found another value. Not a change of structure. */
  setValue(valueAddress: number): void {
    this.#words(this.leaf)[this.#base(this.leaf) + LEAF_VALUE + this.slot] = valueAddress
  }

  /** 0 at the end. */
  nextLeaf(leaf: number): number {
    return this.#words(leaf)[this.#base(leaf) + NEXT]!
  }

  previousLeaf(leaf: number): number {
    return this.#words(leaf)[this.#base(leaf) + PREVIOUS]!
  }

  #words(node: number): Uint32Array {
    return this.#chunks[node >>> CHUNK_NODE_BITS]!
  }

  #base(node: number): number {
    return (node & (CHUNK_NODES - 1)) << NODE_WORD_BITS
  }

  /** A bound shorter than a token counts as followed by zeros, and before whatever it is a prefix of. */
  #padded(): void {
    const padded = Buffer.alloc(8)
    this.#key.copy(padded, 0, this.#start, this.#end)
    this.#high = padded.readUInt32BE(0)
    this.#low = padded.readUInt32BE(4)
  }

  /** Order of the node's key at `slot` and the key looked for. */
  #compare(words: Uint32Array, base: number, slot: number, lowAt: number, keyAt: number): number {
    const high = words[base + HIGH + slot]!
    if (high !== this.#high) return high < this.#high ? -1 : 1
    const low = words[base + lowAt + slot]!
    if (low !== this.#low) return low < this.#low ? -1 : 1
    return this.#compareRest(words[base + keyAt + slot]!)
  }

  #compareRest(address: number): number {
    const slabs = this.slabs
    const slab = slabs.slab(address)
    const at = slabs.start(address)
    const length = slabs.length(address)
    const key = this.#key
    const start = this.#start
    const keyLength = this.#end - start
    const shared = Math.min(length, keyLength)
    if (shared > NATIVE_COMPARE_BYTES) return slab.compare(key, start + 8, this.#end, at + 8, at + length)
    for (let i = 8; i < shared; i++) {
      const difference = slab[at + i]! - key[start + i]!
      if (difference !== 0) return difference
    }
    return length - keyLength
  }

  #newNode(): number {
    const node = this.#nodes++
    const chunk = node >>> CHUNK_NODE_BITS
    const first = this.#chunks[0]!
    if (chunk === this.#chunks.length) this.#chunks.push(new Uint32Array(CHUNK_NODES << NODE_WORD_BITS))
    else if (chunk === 0 && node << NODE_WORD_BITS === first.length) {
      const grown = new Uint32Array(Math.min(first.length * 4, CHUNK_NODES << NODE_WORD_BITS))
      grown.set(first)
      this.#chunks[0] = grown
    }
    return node
  }

  /** Moves the leaf's entries from `at` on into a new leaf to its right; the new key will be the first of it when it is empty. */
  #splitLeaf(leaf: number, at: number, newKey: number): number {
    const right = this.#newNode()
    const from = this.#words(leaf)
    const base = this.#base(leaf)
    const to = this.#words(right)
    const rightBase = this.#base(right)
    const moved = from[base + COUNT]! - at
    for (let i = 0, old = base + at, made = rightBase; i < moved; i++, old++, made++) {
      to[made + HIGH] = from[old + HIGH]!
      to[made + LEAF_LOW] = from[old + LEAF_LOW]!
      to[made + LEAF_KEY] = from[old + LEAF_KEY]!
      to[made + LEAF_VALUE] = from[old + LEAF_VALUE]!
    }
    from[base + COUNT] = at
    to[rightBase + COUNT] = moved
    const after = from[base + NEXT]!
    to[rightBase + NEXT] = after
    to[rightBase + PREVIOUS] = leaf
    from[base + NEXT] = right
    if (after !== NO_NODE) this.#words(after)[this.#base(after) + PREVIOUS] = right
    this.#addSeparator(1, leaf, right, moved === 0 ? newKey : to[rightBase + LEAF_KEY]!)
    return right
  }

  #addSeparator(level: number, left: number, right: number, key: number): void {
    if (level > this.#levels) {
      assert(level < LEVELS_MAX)
      const root = this.#newNode()
      const words = this.#words(root)
      words[this.#base(root) + INNER_CHILD] = left
      this.#root = root
      this.#levels = level
      this.#path[level] = root
      this.#pathSlot[level] = 0
    }
    let node = this.#path[level]!
    let slot = this.#pathSlot[level]!
    if (this.#words(node)[this.#base(node) + COUNT]! === INNER_SLOTS) {
      const kept = this.#splitInner(level, node)
      if (slot > kept) {
        node = this.#splitRight
        slot -= kept + 1
      }
    }
    const words = this.#words(node)
    const base = this.#base(node)
    const count = words[base + COUNT]!
    shift(words, base + HIGH, slot, count, 1)
    shift(words, base + INNER_LOW, slot, count, 1)
    shift(words, base + INNER_KEY, slot, count, 1)
    shift(words, base + INNER_CHILD, slot + 1, count + 1, 1)
    const slab = this.slabs.slab(key)
    const at = this.slabs.start(key)
    words[base + HIGH + slot] = readInt32(slab, at)
    words[base + INNER_LOW + slot] = readInt32(slab, at + 4)
    words[base + INNER_KEY + slot] = key
    words[base + INNER_CHILD + slot + 1] = right
    words[base + COUNT] = count + 1
  }

  #splitRight = NO_NODE

  /** Moves the upper half into #splitRight, the middle separator up; returns how many separators stay. */
  #splitInner(level: number, node: number): number {
    const right = this.#newNode()
    const from = this.#words(node)
    const base = this.#base(node)
    const to = this.#words(right)
    const rightBase = this.#base(right)
    const kept = INNER_SLOTS >>> 1
    const moved = INNER_SLOTS - kept - 1
    for (const column of [HIGH, INNER_LOW, INNER_KEY])
      to.set(from.subarray(base + column + kept + 1, base + column + INNER_SLOTS), rightBase + column)
    to.set(from.subarray(base + INNER_CHILD + kept + 1, base + INNER_CHILD + INNER_SLOTS + 1), rightBase + INNER_CHILD)
    from[base + COUNT] = kept
    to[rightBase + COUNT] = moved
    this.#addSeparator(level + 1, node, right, from[base + INNER_KEY + kept]!)
    this.#splitRight = right
    return kept
  }
}

/** So few entries are moved one by one: calls into native code cost more. */
const MOVED_SINGLY_MAX = 32

/** Makes room in a leaf: its entries from `slot` on move up by one. */
function openSlot(words: Uint32Array, base: number, slot: number, count: number): void {
  if (count - slot > MOVED_SINGLY_MAX) {
    shift(words, base + HIGH, slot, count, 1)
    shift(words, base + LEAF_LOW, slot, count, 1)
    shift(words, base + LEAF_KEY, slot, count, 1)
    shift(words, base + LEAF_VALUE, slot, count, 1)
    return
  }
  for (let at = base + count; at > base + slot; at--) {
    words[at + HIGH] = words[at + HIGH - 1]!
    words[at + LEAF_LOW] = words[at + LEAF_LOW - 1]!
    words[at + LEAF_KEY] = words[at + LEAF_KEY - 1]!
    words[at + LEAF_VALUE] = words[at + LEAF_VALUE - 1]!
  }
}

/** Moves words[base + from, base + to) by one place, up or down. */
function shift(words: Uint32Array, base: number, from: number, to: number, by: 1 | -1): void {
  if (to > from) words.copyWithin(base + from + by, base + from, base + to)
}

const NO_WORDS = new Uint32Array(0)

/**
 * Walks an index in either direction. It stays true while the index changes between its steps: keys never move, so it finds its place again.
 * While `valid`, `key` and `value` are addresses of the entry it stands on.
 */
export class IndexCursor {
  readonly #index: OrderedIndex
  #leaf = NO_NODE
  #slot = 0
  #version = -1
  /** Of the leaf: how many entries it has, and where, at that version. */
  #count = 0
  #words: Uint32Array = NO_WORDS
  #keys = 0
  #values = 0
  valid = false
  key: number = NO_ADDRESS
  value: number = NO_ADDRESS

  constructor(index: OrderedIndex) {
    this.#index = index
  }

  /** Goes to the first entry at or after the key. */
  seek(key: Buffer): boolean {
    this.#index.locate(key, 0, key.length)
    return this.#forward(this.#index.leaf, this.#index.slot)
  }

  /** Goes to the last entry before the key. */
  seekBefore(key: Buffer): boolean {
    this.#index.locate(key, 0, key.length)
    return this.#backward(this.#index.leaf, this.#index.slot - 1)
  }

  next(): boolean {
    if (this.#version === this.#index.version) {
      if (this.#slot + 1 < this.#count) return this.#standAt(this.#slot + 1)
      return this.#forward(this.#leaf, this.#slot + 1)
    }
    const exact = this.#again()
    return this.#forward(this.#index.leaf, this.#index.slot + (exact ? 1 : 0))
  }

  previous(): boolean {
    if (this.#version === this.#index.version) return this.#backward(this.#leaf, this.#slot - 1)
    this.#again()
    return this.#backward(this.#index.leaf, this.#index.slot - 1)
  }

  #again(): boolean {
    const slabs = this.#index.slabs
    const start = slabs.start(this.key)
    return this.#index.locate(slabs.slab(this.key), start, start + slabs.length(this.key))
  }

  #forward(leaf: number, slot: number): boolean {
    const index = this.#index
    let at = leaf
    let within = slot
    while (at !== NO_NODE && within >= index.count(at)) {
      at = index.nextLeaf(at)
      within = 0
    }
    return this.#stand(at, within)
  }

  #backward(leaf: number, slot: number): boolean {
    const index = this.#index
    let at = leaf
    let within = slot
    while (within < 0) {
      at = index.previousLeaf(at)
      if (at === NO_NODE) break
      within = index.count(at) - 1
    }
    return this.#stand(at, within)
  }

  #stand(leaf: number, slot: number): boolean {
    const index = this.#index
    this.#leaf = leaf
    this.#version = index.version
    this.valid = leaf !== NO_NODE
    this.#count = this.valid ? index.count(leaf) : 0
    if (!this.valid) return false
    this.#words = index.wordsOf(leaf)
    this.#keys = index.keysOf(leaf)
    this.#values = index.valuesOf(leaf)
    return this.#standAt(slot)
  }

  /** On an entry of the leaf. */
  #standAt(slot: number): true {
    this.#slot = slot
    this.key = this.#words[this.#keys + slot]!
    this.value = this.#words[this.#values + slot]!
    return true
  }
}
