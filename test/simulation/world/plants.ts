/**
 * Bugs that are planted to see that the simulation finds them: each is a change of one built module's text, made while it is loaded
 * (test/support/model/plant-hooks.ts). White space does not matter in `from`, which must occur exactly once.
 */
import type { Plant } from '../../support/model/plants.ts'

export interface SimulationPlant extends Plant {
  /** Those that may find it. Default: all. */
  readonly workloads?: string
  /** It can only be seen where a node leaves. */
  readonly leaves?: boolean
  /** It can only be seen where a node joins. */
  readonly joins?: boolean
  /** Each seed runs twice: it is found where the two differ, if not before. */
  readonly twice?: boolean
  /** Chance hardly finds it: a plan in test/golden/simulation does. */
  readonly plan?: string
}

export const PLANTS: readonly SimulationPlant[] = [
  {
    name: 'writes: acknowledged by one replica fewer than the level asks for',
    file: 'cluster/coordinator/tally.js',
    from: 'this.#missing = plan.blockFor;',
    to: 'this.#missing = Math.max(1, plan.blockFor - 1);',
    workloads: 'rows,sets',
  },
  {
    name: 'writes: a replica that refused counts as one that acknowledged',
    file: 'cluster/coordinator/pending-write.js',
    from: 'this.#judge(this.#tally.fail(group, endpoint, reason));',
    to: 'this.#judge(this.#tally.ack(group));',
    workloads: 'rows,sets',
  },
  {
    name: 'writes: a replica acknowledges before its commit log has synced',
    file: 'cluster/coordinator/replica-writes.js',
    from: 'return done === undefined ? DONE : done.then(toDone);',
    to: 'return DONE;',
    workloads: 'rows,sets',
  },
  {
    name: 'reads: one replica fewer is heard than the level asks for',
    file: 'cluster/coordinator/pending-read.js',
    from: 'return received >= blockFor;',
    to: 'return received >= Math.max(1, blockFor - 1);',
    workloads: 'rows,sets',
  },
  {
    name: 'reads: digests are not compared',
    file: 'cluster/coordinator/pending-read.js',
    from: 'if (this.#request.plan.blockFor > 1 && !this.#areEqual(data))',
    to: 'if (false)',
    workloads: 'rows,sets',
  },
  {
    name: 'reads: nothing is repaired',
    file: 'cluster/coordinator/pending-read.js',
    from: 'if (lacking.length === 0 || !blocksForRepair)',
    to: 'if (true)',
    workloads: 'rows,sets',
  },
  {
    name: 'reads: the answer does not wait for the repair',
    file: 'cluster/coordinator/pending-read.js',
    from: 'this.#repair(done).then(() => this.#settle(merged),',
    to: 'this.#settle(merged); this.#repair(done).then(() => undefined,',
    workloads: 'glimpses',
  },
  {
    name: 'reads: a range tombstone that only some replicas have is not sent to the others',
    file: 'cluster/coordinator/read-merge.js',
    from: 'rangeTombstones: rangeTombstones.filter((range) => !ranges[i].some((own) => isSame(own, range))),',
    to: 'rangeTombstones: [],',
    workloads: 'glimpses',
  },
  {
    name: 'reads: rows are merged without the deletions of other replicas',
    file: 'cluster/coordinator/read-merge.js',
    from: 'if (row === null || deletion === null) return row;',
    to: 'return row;',
    workloads: 'rows,sets',
  },
  {
    name: 'metadata: what an acceptor promises and accepts is not written down',
    file: 'cluster/metadata/acceptor.js',
    from: 'if (write === null) return reply;',
    to: 'return reply;',
    workloads: 'ddl',
  },
  {
    name: 'paxos: what was accepted before is not proposed again',
    file: 'cluster/metadata/proposer.js',
    from: 'value = verdict.inProgress?.value ?? payload;',
    to: 'value = payload;',
    workloads: 'ddl,cas',
  },
  {
    name: 'paxos: half of the participants are a majority',
    file: 'cluster/paxos/core.js',
    from: 'return Math.floor(participants / 2) + 1;',
    to: 'return Math.ceil(participants / 2);',
    workloads: 'ddl,cas',
  },
  {
    name: 'commit log: a group is done before it is synced',
    file: 'storage/commitlog/writer.js',
    from: 'if (syncs && last.syncedTo < last.writtenTo) {',
    to: 'if (syncs && last.syncedTo < last.writtenTo && this.#full.length > 99) {',
    workloads: 'rows,sets',
  },
  {
    name: 'commit log: names of new segments are not synced',
    file: 'storage/commitlog/segments.js',
    from: 'await disk.syncDirectory(this.#options.directory);',
    to: '',
    workloads: 'rows,sets',
  },
  {
    name: 'paxos: proposals below what was promised are accepted',
    file: 'cluster/paxos/core.js',
    from: 'if (seen !== null && compareBallots(proposal.ballot, seen) < 0)',
    to: 'if (false)',
    workloads: 'cas',
  },
  {
    name: 'cas: what another left unfinished is passed over',
    file: 'cluster/coordinator/paxos-transaction.js',
    from: 'if (inProgress !== null && mutationOf(inProgress.value).length > 0)',
    to: 'if (false)',
    workloads: 'cas',
  },
  {
    name: 'expiry: a cell is shown for five seconds too long',
    file: 'storage/model/row.js',
    from: 'return (this.flags & CellFlag.EXPIRING) === 0 || this.localDeletionTime > nowSeconds;',
    to: 'return (this.flags & CellFlag.EXPIRING) === 0 || this.localDeletionTime > nowSeconds - 5;',
    workloads: 'expiring',
  },
  {
    name: 'expiry: what has expired is forgotten before gc_grace is over',
    file: 'storage/compaction/purge.js',
    from: 'this.#gcBefore = nowSeconds - gcGraceSeconds;',
    to: 'this.#gcBefore = nowSeconds;',
    workloads: 'expiring',
  },
  {
    name: 'expiry: replicas that lack what has expired are not given it by read repair',
    file: 'storage/compaction/purge.js',
    from: 'if (!this.#takes(row.tsHigh, row.tsLow, row.localDeletionTime - row.ttl)) writer.expiredCell(row);',
    to: '',
    workloads: 'expiring',
  },
  {
    name: 'disk: checksums of SSTables are not compared',
    file: 'storage/sstable/format.js',
    from: 'if (bytes.readUInt32BE(0) !== crc32(bytes.subarray(4), seedAt(place.seed, place.offset)))',
    to: 'if (false)',
    workloads: 'sets',
  },
  {
    name: 'disk: a sync that failed is tried again and believed',
    file: 'storage/commitlog/writer.js',
    from: 'await syncSegment(last);',
    to: 'await syncSegment(last).catch(() => syncSegment(last));',
    workloads: 'sets',
  },
  {
    name: 'leaving: who takes over fetches nothing',
    file: 'lib/server/cluster/take-over.js',
    from: 'await streaming.takeOver(leaving, hostId, isWanted);',
    to: '',
    workloads: 'rows,sets',
    leaves: true,
  },
  {
    name: 'joining: who has not heard of it is not refused',
    file: 'lib/server/cluster/in-ring.js',
    from: 'if (isPlanned && message.epoch < ring.changedAt())',
    to: 'if (false)',
    plan: 'behind-ring.json',
  },
  {
    name: 'versions: a leader reads and writes without the lock of the partition',
    file: 'cluster/coordinator/causal-leader.js',
    from: 'if (reading.found instanceof Promise) return this.#locks.run(this.#nameOf(own), () => this.#leadLocked(own, reading));',
    to: 'if (reading.found instanceof Promise) return this.#leadLocked(own, reading);',
    workloads: 'versions',
  },
  {
    name: 'versions: a write says that it has seen all that its leader has',
    file: 'storage/model/causal/delta.js',
    from: 'writer.context(this.#context.buffer, 0, this.#context.length);',
    to: 'const all = new ByteWriter(128); appendJoined(all, this.#context.buffer, 0, this.#context.length, this.#state, this.#stateContext, this.#stateContextEnd); writer.context(all.buffer, 0, all.length);',
    workloads: 'versions',
  },
  {
    name: 'versions: a write says that it has seen all dots of its actor up to its own',
    file: 'storage/model/causal/delta.js',
    from: 'return last === 0 ? counter - 1 : last;',
    to: 'return 0;',
    workloads: 'versions',
  },
  {
    name: 'versions: what one row lacks and has not seen is lost where they meet',
    file: 'storage/model/row-merge.js',
    from: 'if (order < 0) { if (!(leftMayBeSeen && isSeen(left, right))) this.#copy(left, leftRaw);',
    to: 'if (order < 0) {',
    workloads: 'versions',
  },
  {
    name: 'versions: what one row has seen and dropped comes back where they meet',
    file: 'storage/model/row-merge.js',
    from: 'const rightMayBeSeen = left.hasContext;',
    to: 'const rightMayBeSeen = false;',
    workloads: 'versions',
  },
  {
    name: 'versions: of rows that differ a read takes one, and repairs with it',
    file: 'cluster/coordinator/read-merge.js',
    from: 'else if (!row.equals(version)) {',
    to: 'else if (false) {',
    workloads: 'versions',
  },
  {
    name: 'versions: another leader is asked when the first did not answer in time',
    file: 'cluster/coordinator/led-writes.js',
    from: 'if (answer === FailureReason.NODE_DOWN) continue;',
    to: 'if (answer === FailureReason.NODE_DOWN || answer === FailureReason.TIMEOUT) continue;',
    workloads: 'versions',
  },
  {
    name: 'versions: IF VCLOCK is not asked of what a quorum has',
    file: 'lib/cql/causal/causal-cas.js',
    from: 'return coversContext(context, this.#maker.contextOf(state, nowSeconds) ?? NO_CONTEXT);',
    to: 'return true;',
    workloads: 'versions',
  },
  {
    name: 'http: a write whose condition does not hold is answered as done',
    file: 'lib/server/http/key-value.js',
    from: 'return applied !== null && applied[0] === 1;',
    to: 'return true;',
    workloads: 'keys',
  },
  {
    name: 'http: of a write that may have been done it is not said',
    file: 'lib/server/http/failure.js',
    from: "told.fate = 'unknown';",
    to: "told.fate = 'known';",
    workloads: 'keys',
  },
  {
    name: 'hints: those that a crash finds in files are not sent',
    file: 'cluster/hints/file-hints.js',
    from: 'files.set(hostId, [...(files.get(hostId) ?? []), { number: Number(match[2]), bytes, oldestMs, newestMs }]);',
    to: '',
    workloads: 'hinted',
  },
  {
    name: 'hints: one leaves before its node has it',
    file: 'cluster/hints/delivery.js',
    from: 'if (outcomes === null || outcomes.length !== wanted.length || outcomes.every((outcome) => outcome !== 0)) break;',
    to: 'if (outcomes === null) { await hints.done(); break; }',
    workloads: 'hinted',
  },
  {
    name: 'hints: who was late with its acknowledgement gets none',
    file: 'cluster/coordinator/pending-write.js',
    from: 'if (slot !== this.#plan.self?.slot) this.#hint(standsFor ?? hostId);',
    to: '',
    workloads: 'hinted',
  },
  {
    name: 'clock: times go back with the wall clock',
    file: 'lib/server/hybrid-clock.js',
    from: 'this.#last = wall > this.#last ? wall : this.#last + 1;',
    to: 'this.#last = wall;',
    workloads: 'clocked',
  },
  {
    name: 'reads: what is repaired gets a timestamp of its own',
    file: 'cluster/coordinator/read-merge.js',
    from: 'const made = partitionMutations(this.#tableId, lacking);',
    to: 'for (const one of lacking.rows) if ((one.row[0] & 1) !== 0) { one.row = Buffer.from(one.row); one.row[8] += 1; } const made = partitionMutations(this.#tableId, lacking);',
    workloads: 'rows',
  },
]
