/**
 * Compiles the AssemblyScript kernels of packages/protocol/assembly and writes each as a TypeScript
 * module that exports the WebAssembly binary in base64, so that the protocol package needs no file
 * at run time.
 *
 * `node scripts/kernels.ts` writes them; test/kernels.test.ts compiles afresh and compares with
 * what is committed.
 */

import { readFileSync, writeFileSync } from 'node:fs'

/** The compiler's interface, as far as it is used. */
type Compiler = {
  main(
    options: string[],
    files: {
      stderr: { write(chunk: unknown): void }
      readFile(name: string): string | null
      writeFile(name: string, contents: unknown): void
      listFiles(): string[]
    },
  ): Promise<{ error: Error | null }>
}

// The compiler's own types declare globals that clash with Node's; a name that is not a literal
// keeps them out.
const COMPILER: string = 'assemblyscript/asc'

/** What a build may use, best first; the source asks ASC_FEATURE_RELAXED_SIMD where it differs. */
const BUILDS = {
  RELAXED: ['--enable', 'simd', '--enable', 'relaxed-simd'],
  SIMD: ['--enable', 'simd'],
} as const

/** A kernel: files relative to the repository, and how it is compiled. */
export type KernelSource = {
  source: string
  target: string
  builds: readonly (keyof typeof BUILDS)[]
  memory: readonly string[]
}

/**
 * Static data only: two pages of 64 KiB hold it, and the memory never grows, so views of it stay
 * valid.
 */
const OWN_MEMORY = ['--initialMemory', '2', '--maximumMemory', '2']
/** Memory of any size that the host makes. */
const MEMORY_OF_HOST = [
  ['--importMemory', '--zeroFilledMemory'],
  ['--initialMemory', '1', '--maximumMemory', '65536'],
].flat()

/** Every kernel. One that gains nothing from relaxed SIMD has one build only. */
export const KERNELS: readonly KernelSource[] = [
  {
    source: 'packages/protocol/assembly/blake3.ts',
    target: 'packages/protocol/src/blake3/kernel.wasm.ts',
    builds: ['RELAXED', 'SIMD'],
    memory: OWN_MEMORY,
  },
  {
    source: 'packages/protocol/assembly/gear.ts',
    target: 'packages/protocol/src/chunker/kernel.wasm.ts',
    builds: ['SIMD'],
    memory: OWN_MEMORY,
  },
  {
    source: 'packages/protocol/assembly/reed-solomon.ts',
    target: 'packages/protocol/src/codec/kernel.wasm.ts',
    builds: ['RELAXED', 'SIMD'],
    memory: MEMORY_OF_HOST,
  },
]

const OPTIONS = ['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=']

/** Text of the generated module for a kernel; compiles in memory, touches no disk. */
export async function compileKernel(kernel: KernelSource, sourceText: string): Promise<string> {
  const parts = [
    `// Generated from ${kernel.source} by scripts/kernels.ts; run \`pnpm kernels\` instead of editing.`,
  ]
  for (const build of kernel.builds) {
    const options = [...OPTIONS, ...BUILDS[build], ...kernel.memory]
    const binary = await compileBinary({ source: kernel.source, sourceText, options })
    const lines = Buffer.from(binary)
      .toString('base64')
      .match(/.{1,92}/g)
    parts.push(
      `/** The build with ${build} instructions: ${binary.length} bytes of WebAssembly in base64. */`,
      `export const ${build}_BASE64: string =`,
      (lines ?? []).map((line) => `  '${line}'`).join(' +\n'),
    )
  }
  return `${parts.join('\n')}\n`
}

async function compileBinary(o: {
  source: string
  sourceText: string
  options: readonly string[]
}): Promise<Uint8Array> {
  const { source, sourceText, options } = o
  const compiler = (await import(COMPILER)) as Compiler
  let binary: Uint8Array | undefined
  let messages = ''
  const { error } = await compiler.main(['kernel.ts', '--outFile', 'kernel.wasm', ...options], {
    stderr: { write: (chunk) => void (messages += String(chunk)) },
    readFile: (name) => (name === 'kernel.ts' ? sourceText : null),
    writeFile: (name, contents) => {
      if (name === 'kernel.wasm' && contents instanceof Uint8Array) binary = contents
    },
    listFiles: () => [],
  })
  if (error !== null || binary === undefined) {
    throw new Error(`${source} does not compile:\n${messages}`, { cause: error })
  }
  return binary
}

/** The repository's copy of `path`. */
export function readRepositoryFile(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}

if (import.meta.main) {
  for (const kernel of KERNELS) {
    const text = await compileKernel(kernel, readRepositoryFile(kernel.source))
    writeFileSync(new URL(`../${kernel.target}`, import.meta.url), text)
    process.stdout.write(`${kernel.target}: ${text.length} characters\n`)
  }
}
