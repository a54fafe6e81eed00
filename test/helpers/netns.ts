/**
 * Offices behind routers, made of network namespaces: one Internet, and sites whose hosts have
 * private addresses (the same in every site) behind a router that hides them and lets nothing in
 * but what it forwards.
 *
 * Needs root, `ip` and `nft`; `missing()` says what is not there.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'

const PROXY = fileURLToPath(new URL('delay-proxy.ts', import.meta.url))
/** Addresses that libp2p takes for public; they exist in these namespaces only. */
const WAN = '45.10.0'
const PORT = 4001

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Why no namespaces can be made here; undefined when they can. */
export function missing(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  if (process.getuid?.() !== 0) return 'root is needed to make network namespaces'
  const probe = `moyai-probe-${process.pid}`
  try {
    run('ip', 'netns', 'add', probe)
  } catch (error) {
    return `ip netns add does not work here: ${String(error).split('\n')[0]}`
  }
  try {
    run('ip', 'netns', 'exec', probe, 'nft', 'add', 'table', 'ip', 'probe')
    return undefined
  } catch (error) {
    return `nft does not work here: ${String(error).split('\n')[0]}`
  } finally {
    run('ip', 'netns', 'del', probe)
  }
}

/** A forwarded port of a router that leads over a bad line. */
export type BadLine = {
  stall: (ms: number) => void
  cut: () => void
}

/** One office: its router and the hosts behind it. */
export class Site {
  readonly #internet: Internet
  readonly #lines: ChildProcess[] = []
  readonly router: string
  /** Of the router, as the others see it. */
  readonly address: string
  readonly #hosts = new Map<string, string>()

  constructor(internet: Internet, name: string, number: number) {
    this.#internet = internet
    this.router = internet.namespace(`${name}-router`)
    this.address = `${WAN}.${number}`
    internet.wire(internet.core, this.router, 'wan', `${this.address}/24`)
    internet.bridge(this.router, 'lan', '192.168.1.1/24')
    run('ip', 'netns', 'exec', this.router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    this.rules()
  }

  /** What the host's daemon is to announce, whether or not the port is forwarded now. */
  get announced(): string {
    return `/ip4/${this.address}/tcp/${PORT}`
  }

  /** A host on the site's LAN; gives the words that run a command there. */
  host(name: string): readonly string[] {
    const namespace = this.#internet.namespace(name)
    const address = `192.168.1.${11 + this.#hosts.size}`
    this.#hosts.set(name, address)
    this.#internet.wire(this.router, namespace, 'eth0', `${address}/24`)
    run('ip', '-n', namespace, 'route', 'add', 'default', 'via', '192.168.1.1')
    return ['ip', 'netns', 'exec', namespace]
  }

  /** Gives a host another address on the LAN, as a router does that has forgotten it. */
  move(name: string, last: number): void {
    const namespace = this.#internet.named(name)
    const address = `192.168.1.${last}`
    this.#hosts.set(name, address)
    run('ip', '-n', namespace, 'addr', 'flush', 'dev', 'eth0')
    run('ip', '-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
    run('ip', '-n', namespace, 'route', 'add', 'default', 'via', '192.168.1.1')
  }

  /**
   * The router's rules: all may go out under its address, answers come in, else nothing but what is
   * forwarded to `host`. Connections that came in before and are not allowed now are broken.
   */
  rules(o: { forwardTo?: string; proxied?: boolean } = {}): void {
    const target = o.forwardTo === undefined ? undefined : this.#hosts.get(o.forwardTo)
    const dnat = `iifname "wan" tcp dport ${PORT} dnat to ${target}:${PORT}`
    const accept = `iifname "wan" oifname "lan" ct status dnat accept`
    const text = `
      flush ruleset
      table ip router {
        chain out {
          type nat hook postrouting priority 100
          oifname "wan" masquerade
        }
        chain in {
          type nat hook prerouting priority -100
          ${target === undefined ? '' : dnat}
        }
        chain through {
          type filter hook forward priority 0; policy drop
          iifname "lan" oifname "lan" accept
          ${target === undefined ? 'iifname "lan" ct direction reply reject with tcp reset' : ''}
          iifname "lan" accept
          ${target === undefined ? 'iifname "wan" ct direction original reject with tcp reset' : accept}
          ct state established,related accept
        }
        chain self {
          type filter hook input priority 0; policy drop
          iifname { "lo", "lan" } accept
          ct state established,related accept
          ${o.proxied === true ? `tcp dport ${PORT} accept` : ''}
        }
      }`
    execFileSync('ip', ['netns', 'exec', this.router, 'nft', '-f', '-'], { input: text })
  }

  /** Forwards the port to `host` over a line that is `delayMs` long in each direction. */
  async badLine(host: string, delayMs: number): Promise<BadLine> {
    this.rules({ proxied: true })
    const target = this.#hosts.get(host) ?? ''
    const words = [PROXY, this.address, String(PORT), target, String(PORT), String(delayMs)]
    const inside = ['netns', 'exec', this.router, process.execPath, ...words]
    const child = spawn('ip', inside, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines.push(child)
    await once(createInterface({ input: child.stdout }), 'line')
    const tell = (line: string): void => void child.stdin.write(`${line}\n`)
    return { stall: (ms) => tell(`stall ${ms}`), cut: () => tell('cut') }
  }

  /** Takes the whole site off the Internet, or brings it back. */
  connect(up: boolean): void {
    run('ip', '-n', this.router, 'link', 'set', 'wan', up ? 'up' : 'down')
  }

  endLines(): void {
    for (const line of this.#lines) line.kill('SIGKILL')
  }
}

/** All namespaces of one test. */
export class Internet {
  readonly #prefix = `moyai-${process.pid}-`
  readonly #namespaces: string[] = []
  readonly #sites: Site[] = []
  #wires = 0
  readonly core: string

  constructor(t: TestContext) {
    t.after(() => this.#remove())
    this.core = this.namespace('internet')
    this.bridge(this.core, 'lan')
  }

  site(name: string): Site {
    const site = new Site(this, name, 2 + this.#sites.length)
    this.#sites.push(site)
    return site
  }

  /** The namespace of a host or router. */
  named(name: string): string {
    return `${this.#prefix}${name}`
  }

  /** A new namespace, with its loopback up. */
  namespace(name: string): string {
    const full = this.named(name)
    run('ip', 'netns', 'add', full)
    this.#namespaces.push(full)
    run('ip', '-n', full, 'link', 'set', 'lo', 'up')
    return full
  }

  /** The bridge `name` inside a namespace. */
  bridge(namespace: string, name: string, address?: string): void {
    run('ip', '-n', namespace, 'link', 'add', name, 'type', 'bridge')
    run('ip', '-n', namespace, 'link', 'set', name, 'up')
    if (address !== undefined) run('ip', '-n', namespace, 'addr', 'add', address, 'dev', name)
  }

  /** A cable from the bridge `lan` of one namespace to the interface `name` of another. */
  wire(from: string, to: string, name: string, address: string): void {
    const port = `port${this.#wires++}`
    const peer = ['peer', 'name', name, 'netns', to]
    run('ip', '-n', from, 'link', 'add', port, 'type', 'veth', ...peer)
    run('ip', '-n', from, 'link', 'set', port, 'master', 'lan', 'up')
    run('ip', '-n', to, 'addr', 'add', address, 'dev', name)
    run('ip', '-n', to, 'link', 'set', name, 'up')
  }

  #remove(): void {
    for (const site of this.#sites) site.endLines()
    for (const namespace of this.#namespaces) run('ip', 'netns', 'del', namespace)
  }
}
