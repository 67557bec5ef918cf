/** Text as Java writes it to UTF-8: half of a surrogate pair, which has no bytes of its own, is a question mark. */
export function javaUtf8(text: string): Buffer {
  return Buffer.from(text.replace(/\p{Surrogate}/gu, '?'))
}
