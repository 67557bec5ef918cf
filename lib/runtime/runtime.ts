/**
 * The doors to the world: everything below lib/server reaches time, chance, disk, network and threads through these
 * interfaces only. lib/runtime/node holds the real ones, lib/runtime/simulated those of a seeded world.
 */

export interface Clock {
  /** Milliseconds from an arbitrary start; never goes back. For timeouts and durations. */
  monotonicMs(): number
  /** Microseconds since 1970, below 2^53; may jump either way. For write timestamps and expiry only. */
  wallMicros(): number
  /** Runs once after the delay, unless disposed before. */
  after(delayMs: number, run: () => void): Disposable
  /** Runs after the current turn of the event loop's input: what is gathered in one tick is handled together. */
  soon(run: () => void): void
}

/** Streams of chance by name, so that a new use of one does not move the others. */
export interface Random {
  /** A float in [0, 1). */
  float(): number
  /** Fills and returns the buffer. In production from the operating system's generator. */
  fill<T extends Uint8Array>(target: T): T
  stream(name: string): Random
}

export interface FileStat {
  readonly size: number
  readonly directory: boolean
  readonly modifiedMs: number
}

/** One open file. Offsets are explicit: there is no hidden position. */
export interface DiskFile {
  readonly path: string
  /** Reads until `target` is full or the file ends; returns the number of bytes read. */
  read(target: Uint8Array, position: number): Promise<number>
  write(source: Uint8Array, position: number): Promise<void>
  /** After it resolves, all bytes written before the call survive a power loss. After it fails nothing is known. */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** Errors carry the operating system's code: ENOENT, EEXIST, ENOSPC, EIO, EMFILE, … */
export interface Disk {
  open(path: string, mode: 'read' | 'write' | 'create' | 'readwrite'): Promise<DiskFile>
  mkdir(path: string): Promise<void>
  /** Names in a directory, sorted by code unit. */
  list(path: string): Promise<string[]>
  stat(path: string): Promise<FileStat | null>
  rename(from: string, to: string): Promise<void>
  link(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  removeTree(path: string): Promise<void>
  /** Makes creations, renames and removals of names in this directory survive a power loss. */
  syncDirectory(path: string): Promise<void>
  freeBytes(path: string): Promise<number>
  /** Of the file system that holds the path, as far as this user may use it. */
  space(path: string): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>
  /** Takes an exclusive lock for this process; throws with code ELOCKED, naming the holder, when another has it. */
  lock(path: string): Promise<AsyncDisposable>
}

/** A duplex byte stream. `write` returns false when the peer is slow: wait for `drain` before writing more. */
export interface Socket {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** Bytes handed to write() that the operating system has not taken yet. */
  readonly pendingBytes: number
  /** Whether the other's certificate names that address too; absent: nothing is known of who it is. */
  readonly names?: (address: string) => boolean
  write(bytes: Uint8Array): boolean
  pause(): void
  resume(): void
  /** Ends the stream after what was written. */
  end(): void
  /** Drops the connection at once. */
  destroy(): void
  on(handlers: SocketHandlers): void
}

export interface SocketHandlers {
  data(chunk: Buffer): void
  drain(): void
  /** Called exactly once, however the connection ended. */
  close(error: Error | null): void
}

export interface Listener {
  readonly address: string
  readonly port: number
  close(): Promise<void>
}

export interface ConnectOptions {
  /** Fails with ETIMEDOUT when there is no connection after so long; default: the operating system's patience. */
  readonly timeoutMs?: number
  /** The address to connect from, one of this machine; default: the operating system chooses. */
  readonly localAddress?: string
}

/** Keys and certificates as PEM. */
export interface TlsOptions {
  readonly certificate: string
  readonly privateKey: string
  /** Of those whose certificates are believed. */
  readonly trusted: string
  /** The other's certificate must name the address that it speaks from. */
  readonly verifyAddress: boolean
  /** Told of those who were refused. */
  report(message: string): void
}

export interface Network {
  /** Port 0 takes a free one. Throws with code EADDRINUSE, EADDRNOTAVAIL, EACCES. */
  listen(address: string, port: number, accept: (socket: Socket) => void): Promise<Listener>
  /** Throws with code ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, EADDRNOTAVAIL, ECONNRESET. */
  connect(address: string, port: number, options?: ConnectOptions): Promise<Socket>
  /** The same under mutual TLS; absent: this network has none. Rejects when keys or certificates are of no use. */
  secured?(options: TlsOptions): Promise<Network>
}

/** Jobs of one lane wait for each other, never for those of another: a flush never waits for a compaction. */
export type JobLane = 'flush' | 'compaction' | 'other'

/** What a job has of the world: it may run in another thread, and must reach nothing but this. */
export interface JobContext {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  /** Aborted when whoever asked for the job has no use for it any more. It hears of that when it awaits something. */
  readonly signal: AbortSignal
  /** The next part of what JobOptions.input gives, null at its end. The part before is not to be touched any more. */
  input(): Promise<Uint8Array | null>
  /** Handed to JobOptions.progress, in order, before the job's end. Plain data. */
  progress(report: unknown): void
  /**
   * Call it often, about once a millisecond of work: lets others run where the job shares their thread. Rejects with the signal's reason
   * once that is aborted.
   */
  pause(): Promise<void>
}

/**
 * Heavy work as plain data: a function that is exported, under its own name, by the module with this URL. It keeps no state between two runs,
 * and leaves what it was given to read as it is: it may end at any await without another line run (its thread died).
 */
export interface Job<A, R> {
  readonly module: string
  readonly name: string
  readonly run: (argument: A, context: JobContext) => Promise<R>
}

/** `module` is the `import.meta.url` of the module that exports `run`. */
export function defineJob<A, R>(module: string, run: (argument: A, context: JobContext) => Promise<R>): Job<A, R> {
  return { module, name: run.name, run }
}

export interface JobOptions {
  /** Default: other. */
  readonly lane?: JobLane
  readonly signal?: AbortSignal
  readonly progress?: (report: unknown) => void
  /**
   * Gives the job its input in parts, when it asks for them: null at the end. A part is given away with the whole of its ArrayBuffer. `spent` is
   * such a part that the job has done with, to be filled again. When it throws, so does the job's input().
   */
  readonly input?: (spent: Uint8Array | null) => Uint8Array | null
}

/** Runs heavy work: in worker threads in production, in place in a simulation. */
export interface Jobs {
  /**
   * Argument and result are structured-cloned: functions and prototypes do not pass (a Buffer comes out as a Uint8Array, and a small view of a large
   * ArrayBuffer is cloned with all of it), SharedArrayBuffers are shared. Settles when the job has ended and not before, so that its files can be
   * removed then: with its result, its error (name, message, code and own fields; not its class), the signal's reason when it failed
   * after an abort, or a JobError when its thread died.
   */
  run<A, R>(job: Job<A, R>, argument: A, options?: JobOptions): Promise<R>
}

/** The job did not fail, but could not go on: its thread died, or the node is closing. It may be run again. */
export class JobError extends Error {
  override name = 'JobError'
}

export interface PauseCounts {
  readonly count: number
  readonly totalMs: number
  readonly longestMs: number
}

/** What kept the main thread from serving. */
export interface Pauses {
  /** Of the event loop, above 10 ms: each is a bug, or a machine that is too busy. */
  readonly stalls: PauseCounts
  /** Of its garbage; also the short ones. */
  readonly collections: PauseCounts
}

export type LogLevel = 'TRACE' | 'DEBUG' | 'INFO' | 'WARN' | 'ERROR'

/** `source` is the file that speaks, as Cassandra's lines name theirs. Never hand it values, statements or secrets. */
export interface Log {
  trace(source: string, message: string): void
  debug(source: string, message: string): void
  info(source: string, message: string): void
  warn(source: string, message: string): void
  error(source: string, message: string, cause?: unknown): void
}

export interface Runtime {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  readonly jobs: Jobs
  readonly log: Log
}
