/** Cuts a failing list down while it fails. Source: delta debugging (Zeller and Hildebrandt 2002), removing pieces that get smaller. */

/** `fails` is asked about parts of the list; gives one of which no single piece can be left out, or what it has after `triesMax` questions. */
export async function shrink<T>(
  list: readonly T[],
  fails: (part: readonly T[]) => Promise<boolean>,
  triesMax = 2_000,
): Promise<readonly T[]> {
  let left = list
  let tries = 0
  for (let piece = Math.ceil(list.length / 2); ; ) {
    let removed = false
    for (let at = left.length; at > 0; ) {
      const from = Math.max(0, at - piece)
      const part = [...left.slice(0, from), ...left.slice(at)]
      at = from
      if (++tries > triesMax) return left
      if (!(await fails(part))) continue
      left = part
      removed = true
    }
    if (piece === 1 && !removed) return left
    if (!removed || piece > left.length) piece = Math.max(1, Math.floor(piece / 2))
  }
}
