/** A cursor over text from clients: hand-written parsers read through it instead of regular expressions, so no input costs more than its length. */

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

export class Scanner {
  readonly text: string
  at = 0

  constructor(text: string) {
    this.text = text
  }

  done(): boolean {
    return this.at >= this.text.length
  }

  /** Takes the character if it is next. */
  accept(character: string): boolean {
    if (this.text[this.at] !== character) return false
    this.at += 1
    return true
  }

  peek(): string | undefined {
    return this.text[this.at]
  }

  /** The digits that come next, at most `max` of them; '' for none. */
  digits(max = Number.POSITIVE_INFINITY): string {
    const start = this.at
    while (this.at < this.text.length && this.at - start < max && isDigit(this.text.charCodeAt(this.at))) this.at += 1
    return this.text.slice(start, this.at)
  }

  rest(): string {
    return this.text.slice(this.at)
  }
}

/** An optional sign and then digits only, at least one. */
export function isInteger(text: string, signs: string): boolean {
  const scanner = new Scanner(text)
  if (text.length > 0 && signs.includes(text[0]!)) scanner.at = 1
  return scanner.digits() !== '' && scanner.done()
}
