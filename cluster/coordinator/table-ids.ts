/** Ids of tables as text and as bytes: made once for each table, not for each message. */
import { uuidBytes, uuidText } from '../../lib/base/uuid.ts'

/** Ids of tables that are gone are forgotten with all others when there are so many. */
const IDS_MAX = 10_000

export class TableIds {
  readonly #bytes = new Map<string, Buffer>()
  readonly #texts = new Map<string, string>()

  bytes(table: string): Buffer {
    let bytes = this.#bytes.get(table)
    if (bytes === undefined) {
      if (this.#bytes.size >= IDS_MAX) this.#bytes.clear()
      bytes = uuidBytes(table)
      this.#bytes.set(table, bytes)
    }
    return bytes
  }

  text(bytes: Buffer): string {
    const latin1 = bytes.toString('latin1')
    let text = this.#texts.get(latin1)
    if (text === undefined) {
      if (this.#texts.size >= IDS_MAX) this.#texts.clear()
      text = uuidText(bytes)
      this.#texts.set(latin1, text)
    }
    return text
  }
}
