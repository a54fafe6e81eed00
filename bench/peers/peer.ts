/** What the peers share. */

import type { Sample } from '../contenders.ts'
import type { Runner, Usage } from '../processes.ts'

const VERSION_BOUND_MS = 20_000

/** The first group of `pattern` in what `argv` says; undefined when it cannot be run. */
export async function versionOf(
  runner: Runner,
  argv: readonly string[],
  pattern: RegExp,
): Promise<string | undefined> {
  try {
    const { code, stdout, stderr } = await runner.measure(argv, { boundMs: VERSION_BOUND_MS })
    return code === 0 ? pattern.exec(`${stdout}\n${stderr}`)?.[1] : undefined
  } catch (error) {
    if (runner.signal.aborted) throw error
    return undefined
  }
}

/** The sample of a program without daemons, network and parity. */
export function peerSample(usage: Usage, repositoryBytes: number): Sample {
  return {
    ...usage,
    ownerCpuSeconds: usage.cpuSeconds,
    holderPeakBytes: 0,
    wireBytes: 0,
    diskBytes: repositoryBytes,
    payloadBytes: repositoryBytes,
  }
}
