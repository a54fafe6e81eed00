// Goal: whatever can be wrong with an invite, a person reads what it is and what to do.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { Cluster, ClusterHost, type Finished } from '@moyai/cli/cluster'

import { temporaryFolder } from '../helpers/cluster.ts'

/** A day ahead of the machine's clock, from the first line of the daemon on. */
const A_DAY_AHEAD = {
  NODE_OPTIONS:
    '--import=data:text/javascript,const%20now=Date.now;Date.now=()=>now()%2B86400000*2',
}

async function newcomer(
  t: TestContext,
  o: { folder: string; name: string; home?: string; env?: Record<string, string> },
): Promise<ClusterHost> {
  const spec = { name: o.name, site: 's', provider: 'self' }
  const host = new ClusterHost(spec, join(o.folder, o.home ?? o.name))
  await host.init()
  await host.start(o.env === undefined ? {} : { env: o.env })
  t.after(() => host.stop())
  return host
}

function refused(result: Finished, code: number, error: string, text: RegExp): void {
  assert.equal(result.code, code, result.stdout + result.stderr)
  assert.match(result.stdout, new RegExp(`"error":"${error}"`))
  assert.match(result.stderr, text)
  assert.match(result.stderr, /^hint: /m)
}

test('every way in which an invite can be no good', async (t) => {
  const folder = await temporaryFolder(t)
  const specs = ['a', 'b'].map((name) => ({ name, site: 's', provider: 'self' }))
  const cluster = new Cluster(join(folder, 'hosts'), specs)
  t.after(() => cluster.remove())
  await cluster.start('office')
  const inviter = cluster.host('a')
  const token = async (...options: string[]): Promise<string> => {
    const { code, stdout, stderr } = await inviter.moyai(['pool', 'invite', ...options])
    assert.equal(code, 0, stderr)
    assert.doesNotMatch(stderr, /█|▀|▄/, 'no picture where nobody looks')
    return stdout.trim().split('\n').at(-1) ?? ''
  }
  const guest = await newcomer(t, { folder, name: 'guest' })
  const join_ = (host: ClusterHost, text: string): Promise<Finished> =>
    host.moyai(['pool', 'join', text, '--json'])

  await t.test('the token fits a chat line', async () => {
    assert.ok((await token()).length < 200)
    assert.doesNotMatch(await token(), /\s/)
  })

  await t.test('expired', async () => {
    const made = await inviter.client.call('pool.invite', { uses: 1, expiresSeconds: 1 })
    while (Date.now() <= Date.parse(made.expires)) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    refused(await join_(guest, made.token), 1, 'INVITE_EXPIRED', /expired/)
  })

  await t.test('tampered with, cut off, and no token at all', async () => {
    const good = await token()
    const other = good.at(30) === 'A' ? 'B' : 'A'
    const tampered = good.slice(0, 30) + other + good.slice(31)
    refused(await join_(guest, tampered), 2, 'BAD_TOKEN', /changed or cut off/)
    refused(await join_(guest, good.slice(0, -10)), 2, 'BAD_TOKEN', /cut off/)
    refused(await join_(guest, 'hello'), 2, 'BAD_TOKEN', /no invite/)
  })

  await t.test('a joiner whose clock is two days ahead', async () => {
    const ahead = await newcomer(t, { folder, name: 'ahead', env: A_DAY_AHEAD })
    refused(await join_(ahead, await token()), 27, 'CLOCK_DISAGREES', /clocks .* apart/)
  })

  await t.test('a name that is taken, in other letters', async () => {
    const double = await newcomer(t, { folder, name: 'A', home: 'double' })
    refused(await join_(double, await token()), 1, 'NAME_TAKEN', /already has a host named 'A'/)
  })

  await t.test('an inviting host that is not there', async () => {
    const lost = await cluster.host('b').moyai(['pool', 'invite', '-q'])
    await cluster.host('b').stop()
    refused(await join_(guest, lost.stdout.trim()), 1, 'HOST_UNREACHABLE', /does not answer/)
  })

  await t.test('used up, joined twice, and of another pool', async () => {
    const once = await token()
    assert.equal((await join_(guest, once)).code, 0)
    refused(await join_(guest, once), 1, 'ALREADY_IN_POOL', /already in this pool/)
    const late = await newcomer(t, { folder, name: 'late' })
    refused(await join_(late, once), 1, 'INVITE_USED', /used already/)
    assert.equal((await late.moyai(['pool', 'create', 'elsewhere'])).code, 0)
    const foreign = await late.moyai(['pool', 'invite', '-q'])
    refused(await join_(guest, foreign.stdout.trim()), 1, 'ALREADY_IN_POOL', /another pool/)
  })
})
