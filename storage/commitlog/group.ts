/** All who wait for one sync share one promise. */
import type { StorageError } from '../errors.ts'

export interface Group {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: StorageError) => void
}

export function createGroup(): Group {
  let resolve = (): void => {}
  let reject = (_: StorageError): void => {}
  const promise = new Promise<void>((accept, refuse) => {
    resolve = accept
    reject = refuse
  })
  return { promise, resolve, reject }
}
