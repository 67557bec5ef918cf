/** The part of snappyjs 0.7 that we use. */
declare module 'snappyjs' {
  const snappy: {
    compress(data: Buffer): Uint8Array
    uncompress(data: Buffer, maxLength?: number): Uint8Array
  }
  export default snappy
}
