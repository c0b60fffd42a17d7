import { EngineError } from './engine.ts';
import { createReader, eachImport, SECTION, sectionsOf } from './wasm-binary.ts';

export const PAGE_BYTES = 65_536;

/**
 * Pages that a module needs at least: what its `memory` import asks for (WebAssembly core specification 5.5.5, import
 * section), which `WebAssembly.Module.imports` does not tell, or where its data ends: OPA writes the former before it adds
 * the last of the latter. Throws EngineError when the bytes are no module or import no memory.
 */
export function minimumPages(wasm: Uint8Array): number {
  const sections = sectionsOf(wasm);
  const imports = sections.find(({ id }) => id === SECTION.import);
  const asked =
    imports === undefined
      ? undefined
      : eachImport(imports.content, (kind, pages) => (kind === 'memory' ? pages : undefined));
  if (asked === undefined) {
    throw new EngineError('the WASM module imports no memory; was it built with `opa build -t wasm`?');
  }
  const data = sections.find(({ id }) => id === SECTION.data);
  return data === undefined ? asked : Math.max(asked, pagesFor(endOfData(data.content)));
}

/** Where the last segment ends whose address is a constant. */
function endOfData(data: Uint8Array): number {
  const reader = createReader(data, 0);
  let end = 0;
  for (let left = reader.number(); left > 0; left--) {
    const mode = reader.number();
    if (mode === 2) reader.number();
    let address = 0;
    if (mode !== 1) {
      if (reader.byte() !== I32_CONST)
        throw new EngineError('the WASM module has data at an address that is no constant');
      // Signed, but an address below 2^31 reads the same.
      address = reader.number();
      reader.skip(1);
    }
    const length = reader.number();
    reader.skip(length);
    end = Math.max(end, address + length);
  }
  return end;
}

const I32_CONST = 0x41;

/** Pages of 64 KiB that hold `bytes`. */
export const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES);
