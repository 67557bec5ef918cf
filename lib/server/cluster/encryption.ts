/** The network for other nodes, under TLS where the settings say so. */
import type { ServerEncryption } from '../../config/encryption.ts'
import type { Disk, Log, Network, Runtime } from '../../runtime/runtime.ts'
import { StartError } from '../start-error.ts'

const SOURCE = 'encryption.ts'
const PEM_BYTES_MAX = 1024 * 1024

/** Rejects with a StartError. */
export async function internodeNetwork(
  options: ServerEncryption,
  { network, disk, log }: Pick<Runtime, 'network' | 'disk' | 'log'>,
): Promise<Network> {
  if (options.internodeEncryption === 'none') return network
  if (network.secured === undefined) throw new StartError('server_encryption_options: this network knows no TLS')
  const [certificate, privateKey, trusted] = [
    await readPem(disk, options.certificate, 'certificate'),
    await readPem(disk, options.privateKey, 'private_key'),
    await readPem(disk, options.trustedCertificates, 'trusted_certificates'),
  ]
  const verifyAddress = options.requireEndpointVerification
  try {
    return await network.secured({ certificate, privateKey, trusted, verifyAddress, report: reporter(log) })
  } catch (error) {
    throw new StartError(`server_encryption_options: ${(error as Error).message}`)
  }
}

function reporter(log: Log): (message: string) => void {
  return (message) => log.warn(SOURCE, message)
}

async function readPem(disk: Disk, path: string, name: string): Promise<string> {
  try {
    const file = await disk.open(path, 'read')
    try {
      const bytes = Buffer.alloc(Math.min(await file.size(), PEM_BYTES_MAX))
      await file.read(bytes, 0)
      return bytes.toString()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new StartError(`server_encryption_options: ${name}: ${(error as Error).message}`)
  }
}
