/**
 * zstd from buffer to buffer, in working memory that is made once per thread.
 *
 * The working memory is an ArrayBuffer of ours that zstd is told to live in (`initStatic`): when
 * the thread ends it goes with the thread, and nothing has to be freed.
 */

import { equalBytes, nodeCompressor } from '@moyai/protocol'
import type { Compressor } from '@moyai/protocol'

import { openProcess } from './library.ts'
import type { NativeFunction } from './library.ts'

type Functions = Record<
  | 'isError'
  | 'estimateCompress'
  | 'initCompress'
  | 'compress'
  | 'estimateDecompress'
  | 'initDecompress'
  | 'frameLength'
  | 'decompress',
  NativeFunction
>

/** A context and the memory it lives in, which must stay referenced. */
type Context = { pointer: unknown; memory: Uint8Array }

let functions: Functions | undefined | 'absent'

function bind(): Functions | undefined {
  if (functions === 'absent') return undefined
  if (functions !== undefined) return functions
  try {
    const library = openProcess()
    functions = {
      isError: library.func('uint32_t ZSTD_isError(size_t code)'),
      estimateCompress: library.func('size_t ZSTD_estimateCCtxSize(int level)'),
      initCompress: library.func('void *ZSTD_initStaticCCtx(void *workspace, size_t size)'),
      compress: library.func(
        'size_t ZSTD_compressCCtx(void *context, void *target, size_t capacity, ' +
          'const void *source, size_t size, int level)',
      ),
      estimateDecompress: library.func('size_t ZSTD_estimateDCtxSize()'),
      initDecompress: library.func('void *ZSTD_initStaticDCtx(void *workspace, size_t size)'),
      frameLength: library.func(
        'size_t ZSTD_findFrameCompressedSize(const void *source, size_t size)',
      ),
      decompress: library.func(
        'size_t ZSTD_decompressDCtx(void *context, void *target, size_t capacity, ' +
          'const void *source, size_t size)',
      ),
    }
    return functions
  } catch {
    functions = 'absent'
    return undefined
  }
}

class NativeCompressor implements Compressor {
  readonly #zstd: Functions
  readonly #compressing = new Map<number, Context>()
  #decompressing: Context | undefined

  constructor(zstd: Functions) {
    this.#zstd = zstd
  }

  compress(raw: Uint8Array, level: number, target: Uint8Array): number | undefined {
    let context = this.#compressing.get(level)
    if (context === undefined) {
      context = makeContext(this.#zstd.estimateCompress(level), this.#zstd.initCompress)
      this.#compressing.set(level, context)
    }
    const { pointer } = context
    const length = this.#zstd.compress(pointer, target, target.length, raw, raw.length, level)
    return this.#zstd.isError(length) === 0 ? Number(length) : undefined
  }

  decompress(frame: Uint8Array, target: Uint8Array): boolean {
    if (Number(this.#zstd.frameLength(frame, frame.length)) !== frame.length) return false
    this.#decompressing ??= makeContext(this.#zstd.estimateDecompress(), this.#zstd.initDecompress)
    const { pointer } = this.#decompressing
    const length = this.#zstd.decompress(pointer, target, target.length, frame, frame.length)
    return Number(length) === target.length
  }
}

function makeContext(size: number | bigint, init: NativeFunction): Context {
  const memory = new Uint8Array(Number(size))
  return { pointer: init(memory, memory.length), memory }
}

function agrees(compressor: Compressor): boolean {
  const raw = new Uint8Array(100_000).map((_, i) => (i * i) >> 7)
  const frame = new Uint8Array(raw.length)
  const length = compressor.compress(raw, 1, frame)
  if (length === undefined) return false
  const back = new Uint8Array(raw.length)
  return (
    compressor.compress(raw, 1, new Uint8Array(length - 1)) === undefined &&
    nodeCompressor.decompress(frame.subarray(0, length), back) &&
    equalBytes(back, raw) &&
    compressor.decompress(frame.subarray(0, length), back.fill(0)) &&
    equalBytes(back, raw) &&
    !compressor.decompress(frame.subarray(0, length - 1), back)
  )
}

/**
 * A compressor for the calling thread: the zstd inside this process where it can be reached and
 * gives what Node's does, else Node's own. Never throws.
 */
export function loadCompressor(): Compressor {
  const zstd = bind()
  if (zstd === undefined) return nodeCompressor
  try {
    const compressor = new NativeCompressor(zstd)
    return agrees(compressor) ? compressor : nodeCompressor
  } catch {
    return nodeCompressor
  }
}
