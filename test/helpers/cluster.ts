/** Clusters for tests: a temporary folder, a set of hosts, and their removal when the test ends. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

import { Cluster, type ClusterHost, type HostSpec } from '@moyai/cli/cluster'

/** Six hosts in three sites of two, at two providers; the first is the owner in most tests. */
export const SIX_HOSTS: readonly HostSpec[] = [
  { name: 'osaka-1', site: 'osaka', provider: 'kansai' },
  { name: 'osaka-2', site: 'osaka', provider: 'kansai' },
  { name: 'kobe-1', site: 'kobe', provider: 'kansai' },
  { name: 'kobe-2', site: 'kobe', provider: 'cloud' },
  { name: 'tokyo-1', site: 'tokyo', provider: 'cloud' },
  { name: 'tokyo-2', site: 'tokyo', provider: 'cloud' },
]

/** A folder that goes away with the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'moyai-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A running pool of `specs`, gone when the test ends. */
export async function startCluster(
  t: TestContext,
  specs: readonly HostSpec[] = SIX_HOSTS,
): Promise<{ cluster: Cluster; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'moyai-test-'))
  const cluster = new Cluster(join(folder, 'hosts'), specs)
  t.after(async () => {
    await cluster.remove()
    await rm(folder, { recursive: true, force: true })
  })
  await cluster.start('test')
  return { cluster, folder }
}

/** The last JSON line with this message_type of a `--json` run. */
export function lastMessage<T>(stdout: string, messageType: string): T {
  const found = stdout
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { message_type: string })
    .findLast((message) => message.message_type === messageType)
  if (found === undefined) throw new Error(`no ${messageType} in: ${stdout}`)
  return found as T
}

/** Waits until the status of `host` is `protected`: its evidence is whole again. */
export async function untilProtected(
  host: ClusterHost,
  deadlineMs: number = 120_000,
): Promise<void> {
  const giveUp = performance.now() + deadlineMs
  for (;;) {
    const { protection } = await host.client.call('status', {})
    if (protection.state === 'protected') return
    if (performance.now() > giveUp) throw new Error(`still ${protection.state}: ${protection.text}`)
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

/** Waits until `check` holds. */
export async function until(
  what: string,
  check: () => Promise<boolean>,
  deadlineMs: number = 60_000,
): Promise<void> {
  const giveUp = performance.now() + deadlineMs
  while (!(await check())) {
    if (performance.now() > giveUp) throw new Error(`not seen within ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
