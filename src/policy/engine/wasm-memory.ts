import { EngineError } from './engine.ts';
import { eachImport, SECTION, sectionsOf } from './wasm-binary.ts';

export const PAGE_BYTES = 65_536;

/**
 * Pages that a module's own `memory` import asks for at least (WebAssembly core specification 5.5.5, import section).
 * `WebAssembly.Module.imports` does not tell. Throws EngineError when the bytes are no module or import no memory.
 */
export function minimumPages(wasm: Uint8Array): number {
  const imports = sectionsOf(wasm).find(({ id }) => id === SECTION.import);
  const minimum =
    imports === undefined
      ? undefined
      : eachImport(imports.content, (kind, pages) => (kind === 'memory' ? pages : undefined));
  if (minimum === undefined) {
    throw new EngineError('the WASM module imports no memory; was it built with `opa build -t wasm`?');
  }
  return minimum;
}

/** Pages of 64 KiB that hold `bytes`. */
export const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES);
