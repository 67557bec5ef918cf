/** Why a node refused to start: the operator's to mend, so it is told in one clear line and without a stack. */
export class StartError extends Error {
  override name = 'StartError'
}
