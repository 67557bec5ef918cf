/**
 * Reads are generators that yield what must be waited for (a block of a file, a pause for the event loop): one that meets none of it runs through
 * in one go and gives its answer at once.
 */

export type ReadSteps<R> = Generator<Promise<unknown>, R, void>

/** Waits in a generator and gives what came. */
export function* waitFor<T>(promise: Promise<T>): ReadSteps<T> {
  let value: { readonly got: T } | null = null
  yield promise.then((got) => {
    value = { got }
  })
  return (value as unknown as { readonly got: T }).got
}

/** Runs the steps: at once when they wait for nothing. */
export function drive<R>(steps: ReadSteps<R>): R | Promise<R> {
  const first = steps.next()
  return first.done ? first.value : driveLater(steps, first.value)
}

async function driveLater<R>(steps: ReadSteps<R>, first: Promise<unknown>): Promise<R> {
  let wait = first
  for (;;) {
    let step: IteratorResult<Promise<unknown>, R>
    try {
      await wait
      step = steps.next()
    } catch (error) {
      // Lets the steps' own finally blocks run, then tells the caller.
      step = steps.throw(error)
    }
    if (step.done) return step.value
    wait = step.value
  }
}
