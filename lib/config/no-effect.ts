/**
 * Settings of cassandra.yaml about storage that have no effect because storage is made otherwise: what there is in their place. The others that have
 * none (cassandra-names.ts) are only named.
 */
export const NO_EFFECT: ReadonlyMap<string, string> = new Map([
  ['memtable_heap_space', 'memtables lie outside the heap; memtable_offheap_space limits them'],
  ['memtable_heap_space_in_mb', 'memtables lie outside the heap; memtable_offheap_space limits them'],
  ['memtable_allocation_type', 'memtables lie outside the heap'],
  ['memtable_cleanup_threshold', 'the largest memtable is flushed when all of them reach memtable_offheap_space'],
  ['memtable_flush_writers', 'flushes have a thread of their own, one'],
  ['memtable', 'there is one kind of memtable'],
  [
    'column_index_size',
    'every block of a partition is in the index; its size is a quarter of chunk_length_in_kb of the table',
  ],
  [
    'column_index_size_in_kb',
    'every block of a partition is in the index; its size is a quarter of chunk_length_in_kb of the table',
  ],
  ['column_index_cache_size', 'index blocks are kept in the memory of key_cache_size'],
  ['index_summary_capacity', 'there are no index summaries: index blocks are read as they are needed'],
  ['index_summary_capacity_in_mb', 'there are no index summaries: index blocks are read as they are needed'],
  ['index_summary_resize_interval', 'there are no index summaries: index blocks are read as they are needed'],
  ['sstable_preemptive_open_interval', 'SSTables that a compaction writes are read when it is done'],
  ['disk_access_mode', 'files are read into a cache of blocks (file_cache_size), not mapped'],
  ['commitlog_disk_access_mode', 'the commit log is written and synced, not mapped'],
  ['commitlog_compression', 'the commit log is not compressed'],
  ['flush_compression', 'flushes compress as the table says'],
  ['max_value_size', 'a value is as large as a mutation can be: half of commitlog_segment_size'],
  ['trickle_fsync', 'an SSTable is synced when it is complete'],
])
