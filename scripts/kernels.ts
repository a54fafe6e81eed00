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

/** Source and generated module of each kernel, relative to the repository. */
export const KERNELS: readonly { source: string; target: string }[] = [
  {
    source: 'packages/protocol/assembly/blake3.ts',
    target: 'packages/protocol/src/blake3/kernel.wasm.ts',
  },
  {
    source: 'packages/protocol/assembly/gear.ts',
    target: 'packages/protocol/src/chunker/kernel.wasm.ts',
  },
]

const OPTIONS = [
  ['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort='],
  // both are in every Node that we support
  ['--enable', 'simd', '--enable', 'relaxed-simd'],
  // static data only: two pages of 64 KiB hold it, and the memory never grows, so views of it stay
  // valid
  ['--initialMemory', '2', '--maximumMemory', '2'],
].flat()

/** Text of the generated module for the kernel of `source`; compiles in memory, touches no disk. */
export async function compileKernel(source: string, sourceText: string): Promise<string> {
  const compiler = (await import(COMPILER)) as Compiler
  let binary: Uint8Array | undefined
  let messages = ''
  const { error } = await compiler.main(['kernel.ts', '--outFile', 'kernel.wasm', ...OPTIONS], {
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
  const lines = Buffer.from(binary)
    .toString('base64')
    .match(/.{1,92}/g)
  return [
    `// Generated from ${source} by scripts/kernels.ts; run \`pnpm kernels\` instead of editing.`,
    '',
    `/** The compiled kernel, ${binary.length} bytes of WebAssembly in base64. */`,
    'export const KERNEL_BASE64: string =',
    (lines ?? []).map((line) => `  '${line}'`).join(' +\n'),
    '',
  ].join('\n')
}

/** The repository's copy of `path`. */
export function readRepositoryFile(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
}

if (import.meta.main) {
  for (const { source, target } of KERNELS) {
    const text = await compileKernel(source, readRepositoryFile(source))
    writeFileSync(new URL(`../${target}`, import.meta.url), text)
    process.stdout.write(`${target}: ${text.length} characters\n`)
  }
}
