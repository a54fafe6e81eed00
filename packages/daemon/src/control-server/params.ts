/**
 * The shapes of what a client may pass to each method. The client is the same person on the same
 * machine, yet a misshapen request must end in a sentence, not somewhere deep in a service. The
 * table is checked against the types of protocol/control when this compiles.
 */

import { MoyaiError, type ControlMethod, type ControlMethods } from '@moyai/protocol'

type ShapeOf<T> = [T] extends [string]
  ? string extends T
    ? 'text'
    : readonly T[]
  : [T] extends [number]
    ? 'number'
    : [T] extends [boolean]
      ? 'boolean'
      : [T] extends [string[]]
        ? 'texts'
        : never

type Field<T> = undefined extends T
  ? { optional: true; shape: ShapeOf<Exclude<T, undefined>> }
  : { optional: false; shape: ShapeOf<T> }

type Shapes = {
  [M in ControlMethod]: {
    [K in keyof ControlMethods[M]['params']]-?: Field<ControlMethods[M]['params'][K]>
  }
}

const text = { optional: false, shape: 'text' } as const
const texts = { optional: false, shape: 'texts' } as const
const number = { optional: false, shape: 'number' } as const
const boolean = { optional: false, shape: 'boolean' } as const
const optionalNumber = { optional: true, shape: 'number' } as const
const optionalTexts = { optional: true, shape: 'texts' } as const
const optionalText = { optional: true, shape: 'text' } as const

const SHAPES: Shapes = {
  version: {},
  status: {},
  'pool.create': { name: text },
  'pool.invite': {
    uses: number,
    expiresSeconds: number,
    sameOrg: { optional: true, shape: 'boolean' },
  },
  'pool.attach': { invite: text, host: text, sealed: text },
  'pool.join': { token: text },
  'pool.hosts': {},
  limit: { upload: optionalText, download: optionalText },
  'pool.label': {
    host: text,
    name: optionalText,
    site: optionalText,
    provider: optionalText,
    class: { optional: true, shape: ['always-on', 'desktop', 'laptop'] },
    offered: optionalNumber,
  },
  'pool.retire': { host: text, retired: boolean },
  'pool.away': { host: text, until: number },
  'pool.lost': { target: text },
  'pool.back': { host: text },
  'pool.revocation': { host: text },
  'pool.revoke': { host: text, keep: optionalTexts, signatures: optionalTexts },
  'pool.policy': { set: optionalText },
  store: {
    paths: texts,
    name: optionalText,
    tags: texts,
    excludes: texts,
    dryRun: boolean,
    wait: boolean,
    policy: optionalText,
    outbox: { optional: true, shape: 'boolean' },
  },
  retrieve: {
    snapshot: text,
    to: text,
    includes: texts,
    excludes: texts,
    overwrite: { optional: false, shape: ['always', 'if-changed', 'never'] },
    verify: boolean,
    dryRun: boolean,
  },
  snapshots: {},
  ls: { snapshot: text, recursive: boolean },
  check: { readData: boolean },
  scrub: {},
  repair: {},
  doctor: {},
}

/** True for the name of a method. */
export function isControlMethod(name: unknown): name is ControlMethod {
  return typeof name === 'string' && Object.hasOwn(SHAPES, name)
}

function fits(shape: unknown, value: unknown): boolean {
  if (Array.isArray(shape)) return shape.includes(value)
  switch (shape) {
    case 'text':
      return typeof value === 'string'
    case 'number':
      return typeof value === 'number' && Number.isFinite(value)
    case 'boolean':
      return typeof value === 'boolean'
    default:
      return Array.isArray(value) && value.every((one) => typeof one === 'string')
  }
}

/** `params` as those of `method`; USAGE naming what is missing, wrong or too many. */
export function checkParams<M extends ControlMethod>(
  method: M,
  params: unknown,
): ControlMethods[M]['params'] {
  if (typeof params !== 'object' || params === null || Array.isArray(params)) {
    throw new MoyaiError('USAGE', `${method}: the parameters are not an object`)
  }
  const given = new Map<string, unknown>(Object.entries(params))
  for (const [name, field] of Object.entries(SHAPES[method])) {
    const { optional, shape } = field as { optional: boolean; shape: unknown }
    const value = given.get(name)
    given.delete(name)
    if (value === undefined && optional) continue
    if (!fits(shape, value)) throw new MoyaiError('USAGE', `${method}: '${name}' is not valid`)
  }
  for (const name of given.keys()) {
    throw new MoyaiError('USAGE', `${method}: unknown parameter '${name.slice(0, 40)}'`, {
      hint: 'the command and the daemon may be of different versions: restart the daemon',
    })
  }
  return params
}
