import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCbor, type CborValue } from './cbor.ts'
import { decodeAs, parse, s, type Infer, type Schema } from './schema.ts'

const HOST = s.map({
  v: s.version(1),
  id: s.bytes({ length: 4 }),
  name: s.text({ max: 8, min: 1 }),
  class: s.oneOf('desktop', 'laptop'),
  offered: s.int({ max: 1000 }),
  inode: s.optional(s.uint64()),
  tags: s.optional(s.array(s.text({ max: 4 }), { max: 2 })),
  always: s.bool(),
})

const GOOD: Infer<typeof HOST> = {
  v: 1,
  id: Uint8Array.of(1, 2, 3, 4),
  name: 'osaka',
  class: 'laptop',
  offered: 0,
  always: true,
}

function refuses(
  schema: Schema<unknown>,
  value: CborValue,
  message: RegExp,
  code = 'MALFORMED',
): void {
  assert.throws(() => parse(schema, value, 'host'), { code, message })
}

test('a schema gives the typed object, without absent optional fields', () => {
  const encoded = encodeCbor(GOOD)
  const host = decodeAs(HOST, encoded, { bytesMax: 200, what: 'host' })
  assert.deepEqual(host, GOOD)
  assert.ok(!('inode' in host))
  const wide = parse(HOST, { ...GOOD, inode: 7, tags: ['a'] }, 'host')
  assert.equal(wide.inode, 7n)
  assert.deepEqual(wide.tags, ['a'])
})

test('every deviation is refused and named', () => {
  const { name: _, ...nameless } = GOOD
  refuses(HOST, nameless, /^host\.name: expected a value$/)
  refuses(HOST, { ...GOOD, extra: 1 }, /^host: expected no unknown keys$/)
  refuses(HOST, { ...GOOD, toString: 1 }, /unknown keys/)
  refuses(HOST, { ...GOOD, id: Uint8Array.of(1) }, /^host\.id: expected 4 bytes$/)
  refuses(HOST, { ...GOOD, id: 'abcd' }, /host\.id/)
  refuses(HOST, { ...GOOD, name: '' }, /host\.name/)
  refuses(HOST, { ...GOOD, name: 'too long a name' }, /host\.name/)
  refuses(HOST, { ...GOOD, class: 'toaster' }, /one of desktop, laptop/)
  refuses(HOST, { ...GOOD, offered: -1 }, /from 0 to 1000/)
  refuses(HOST, { ...GOOD, offered: 2n ** 60n }, /from 0 to 1000/)
  refuses(HOST, { ...GOOD, inode: -1 }, /host\.inode/)
  refuses(HOST, { ...GOOD, tags: ['a', 'b', 'c'] }, /0 to 2 items/)
  refuses(HOST, { ...GOOD, tags: ['a', 1] }, /^host\.tags\[1\]/)
  refuses(HOST, { ...GOOD, always: 1 }, /a boolean/)
  refuses(HOST, [], /a map/)
  refuses(HOST, Uint8Array.of(1), /a map/)
})

test('a later version is reported as such, whatever else is strange in it', () => {
  refuses(HOST, { v: 2, novelty: 1 }, /version 2/, 'UNKNOWN_VERSION')
  refuses(HOST, { v: 'x' }, /a version number/)
})

test('variants, literals, predicates and 64-bit integers', () => {
  const shape = s.variant('kind', {
    file: s.map({ kind: s.literal('file'), size: s.int64() }),
    link: s.map({ kind: s.literal('link'), to: s.text({ max: 9 }) }),
  })
  assert.deepEqual(parse(shape, { kind: 'file', size: -3 }, 'x'), { kind: 'file', size: -3n })
  assert.deepEqual(parse(shape, { kind: 'link', to: 'a' }, 'x'), { kind: 'link', to: 'a' })
  refuses(shape, { kind: 'constructor' }, /one of file, link/)
  refuses(shape, { kind: 'file', size: 2n ** 63n }, /host\.size/)
  const even = s.where(s.int(), (n) => n % 2 === 0, 'an even number')
  assert.equal(parse(even, 4, 'x'), 4)
  refuses(even, 3, /an even number/)
})
