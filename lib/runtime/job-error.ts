/** Errors as plain data, for the way out of a job: structured cloning alone would lose their codes and fields. */

export interface PlainError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly cause: PlainError | null
  readonly fields: Readonly<Record<string, string | number | boolean>>
}

/** Deeper causes are left out. */
const CAUSES_MAX = 8

export function flattenError(error: unknown, depth = 0): PlainError {
  if (!(error instanceof Error))
    return { name: 'Error', message: String(error), stack: undefined, cause: null, fields: {} }
  const fields: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(error)) {
    if (name === 'name' || name === 'cause') continue
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') fields[name] = value
  }
  const hasCause = error.cause !== undefined && depth < CAUSES_MAX
  const { name, message, stack } = error
  return { name, message, stack, cause: hasCause ? flattenError(error.cause, depth + 1) : null, fields }
}

/** The error again, but for its class. */
export function restoreError(plain: PlainError): Error {
  const error = new Error(plain.message, plain.cause ? { cause: restoreError(plain.cause) } : {})
  Object.assign(error, plain.fields)
  Object.defineProperty(error, 'name', { value: plain.name, configurable: true, writable: true })
  if (plain.stack !== undefined) error.stack = plain.stack
  return error
}
