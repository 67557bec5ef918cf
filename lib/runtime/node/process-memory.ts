/** What the process takes of the machine's memory, in bytes: in all, in V8's heap, and in buffers outside of it. */
export function processMemory(): {
  readonly residentBytes: number
  readonly heapBytes: number
  readonly bufferBytes: number
} {
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
  return { residentBytes: rss, heapBytes: heapUsed, bufferBytes: arrayBuffers }
}
