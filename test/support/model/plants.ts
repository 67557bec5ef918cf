/**
 * Bugs that are planted to see that the model check finds them: each is a change of one built module's text, made while it is loaded
 * (plant-hooks.ts). White space does not matter in `from`, which must occur exactly once.
 */

export interface Plant {
  readonly name: string
  /** The module's path under dist. */
  readonly file: string
  readonly from: string
  readonly to: string
}

export const PLANTS: readonly Plant[] = [
  {
    name: 'merge ignores ties',
    file: 'storage/model/row-merge.js',
    from: 'if (cellOrder(left, right) < 0)',
    to: 'if (compareTimestamps(left.tsHigh, left.tsLow, right.tsHigh, right.tsLow) < 0)',
  },
  {
    name: 'of equal timestamps a live cell beats a tombstone',
    file: 'storage/model/cell-order.js',
    from: 'return aEnds ? 1 : -1',
    to: 'return aEnds ? -1 : 1',
  },
  {
    name: 'a deletion spares what has its own timestamp',
    file: 'storage/model/row-merge.js',
    from: 'return this.#deleted && compareTimestamps(tsHigh, tsLow, this.#deletionHigh, this.#deletionLow) <= 0',
    to: 'return this.#deleted && compareTimestamps(tsHigh, tsLow, this.#deletionHigh, this.#deletionLow) < 0',
  },
  {
    name: 'timestamps are compared by their low halves alone',
    file: 'storage/model/row.js',
    from: 'if (aHigh !== bHigh) return aHigh < bHigh ? -1 : 1',
    to: '',
  },
  {
    name: 'a later range tombstone wins whatever its timestamp',
    file: 'storage/memtable/ranges.js',
    from: 'compareDeletions(range.deletion, 0, deletion, 0) >= 0 ? range.deletion : deletion',
    to: 'deletion',
  },
  {
    name: 'a range tombstone ends one row late',
    file: 'storage/read/range-deletions.js',
    from: 'order > 0 : order <= 0',
    to: 'order > 0 : order < 0',
  },
  {
    name: 'early end ignores that the row has expired',
    file: 'storage/model/merge.js',
    from: 'if (reader.livenessTtl > 0 && reader.livenessExpiresAt <= nowSeconds) return false',
    to: '',
  },
  {
    name: 'early end takes ties for settled',
    file: 'storage/model/merge.js',
    from: 'if (compareTimestamps(reader.tsHigh, reader.tsLow, tsHigh, tsLow) <= 0) return false',
    to: 'if (compareTimestamps(reader.tsHigh, reader.tsLow, tsHigh, tsLow) < 0) return false',
  },
  {
    name: 'early end ignores deletions of the partition where the static row is wanted',
    file: 'storage/read/read.js',
    from: 'if (settled && !command.wantStatic)',
    to: 'if (settled)',
  },
  {
    name: 'the bloom filter is asked with the hashes of another format',
    file: 'storage/sstable/bloom.js',
    from: 'if ((bytes[HEAD_BYTES + (bit >>> 3)] & (1 << (bit & 7))) === 0)',
    to: 'if ((bytes[HEAD_BYTES + (bit >>> 3)] & (1 << (7 - (bit & 7)))) === 0)',
  },
  {
    name: 'replay stops at the second record',
    file: 'storage/commitlog/replay.js',
    from: 'if (!recordIsWhole(bytes, offset, word, seed))',
    to: 'if (records > 1 || !recordIsWhole(bytes, offset, word, seed))',
  },
  {
    name: 'acknowledged before the sync',
    file: 'storage/commitlog/writer.js',
    from: 'if (syncs && last.syncedTo < last.writtenTo)',
    to: 'if (false)',
  },
  {
    name: 'no sync of the directory of segments',
    file: 'storage/commitlog/segments.js',
    from: 'await disk.syncDirectory(this.#options.directory);',
    to: '',
  },
  {
    name: 'no sync of an SSTable',
    file: 'storage/sstable/writer.js',
    from: 'await this.#file.sync();',
    to: '',
  },
  {
    name: "no sync of an SSTable's directory",
    file: 'storage/sstable/writer.js',
    from: "await this.#disk.syncDirectory(path.slice(0, path.lastIndexOf('/')));",
    to: '',
  },
  {
    name: 'replay passes over one record more than was flushed',
    file: 'storage/store.js',
    from: 'position < this.#files.manifest.tables.get(table.id).flushedPosition',
    to: 'position <= this.#files.manifest.tables.get(table.id).flushedPosition',
  },
  {
    name: 'the commit log lets go of a segment when a flush begins',
    file: 'storage/files.js',
    from: 'store.swapMemtable(position); await this.#flushPending(store, store.pending);',
    to: 'store.swapMemtable(position); this.#log?.markFlushed(store.id, position); await this.#flushPending(store, store.pending);',
  },
  {
    name: 'a truncation forgets only files',
    file: 'storage/files.js',
    from: "edits.push({ kind: 'truncated', table: store.id, position, atMs });",
    to: "edits.push({ kind: 'truncated', table: store.id, position: 0, atMs });",
  },
  {
    name: 'a page goes on with the row that ended the last one',
    file: 'storage/read/read.js',
    from: 'const next = Buffer.concat([last, AFTER]);',
    to: 'const next = last;',
  },
  {
    name: 'tombstones are purged at once, not after gc_grace',
    file: 'storage/compaction/purge.js',
    from: 'this.#gcBefore = nowSeconds - gcGraceSeconds;',
    to: 'this.#gcBefore = nowSeconds + 1;',
  },
  {
    name: 'what was purged is not looked at again when a compaction is done',
    file: 'storage/compaction/run.js',
    from: 'result.purged === null || !this.#isPurgedEarly(result.purged)',
    to: 'true',
  },
  {
    name: 'purging ignores the other SSTables',
    file: 'storage/compaction/run.js',
    from: 'outsiders: isDying ? outside.map(jobOutsider) : [],',
    to: 'outsiders: [],',
  },
  {
    name: 'a compaction keeps the newest version of a row and merges nothing',
    file: 'storage/compaction/merger.js',
    from: 'this.#version = out.view();',
    to: 'this.#version = before;',
  },
  {
    name: 'a compaction loses range tombstones',
    file: 'storage/compaction/merger.js',
    from: 'this.#sweep.add(range, covering);',
    to: '',
  },
  {
    name: 'an expired cell goes whatever it covers',
    file: 'storage/compaction/purge.js',
    from: 'writer.expiredCell(row);',
    to: '{}',
  },
  {
    name: 'versions: what one row has seen and dropped comes back where they meet',
    file: 'storage/model/row-merge.js',
    from: 'return coversDot(other.buffer, reader.buffer, reader.pathStart, other.contextStart, other.contextEnd);',
    to: 'return false;',
  },
  {
    name: 'versions: a context is purged whatever lies outside of the compaction',
    file: 'storage/compaction/purge.js',
    from: 'if (this.#takesOlder(counterHigh(newest), counterLow(newest))) return;',
    to: 'return;',
  },
]
