import { EngineError } from './engine.ts';

const PAGE_BYTES = 65_536;
const MAX_STEPS = 10_000;

/**
 * Pages that a module's own `memory` import asks for at least (WebAssembly core specification 5.5.5, import section).
 * `WebAssembly.Module.imports` does not tell. Throws EngineError when the bytes are no module or import no memory.
 */
export function minimumPages(wasm: Uint8Array): number {
  let at = 8;
  const byte = (): number => {
    const value = wasm[at++];
    if (value === undefined) throw new EngineError('the WASM module is cut short');
    return value;
  };
  const number = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const next = byte();
      value += (next & 0x7f) * 2 ** shift;
      if (next < 0x80) return value;
    }
    throw new EngineError('the WASM module holds a malformed number');
  };
  const skipText = (): void => {
    const length = number();
    at += length;
  };
  const limits = (): number => {
    const hasMaximum = (number() & 1) === 1;
    const minimum = number();
    if (hasMaximum) number();
    return minimum;
  };
  while (at < wasm.length) {
    const section = byte();
    const end = number() + at;
    if (section !== 2) {
      at = end;
      continue;
    }
    for (let left = Math.min(number(), MAX_STEPS); left > 0; left--) {
      skipText();
      skipText();
      switch (byte()) {
        case 0:
          number();
          break;
        case 1:
          byte();
          limits();
          break;
        case 2:
          return limits();
        case 3:
          at += 2;
          break;
        default:
          throw new EngineError('the WASM module has an import of an unknown kind');
      }
    }
    break;
  }
  throw new EngineError('the WASM module imports no memory; was it built with `opa build -t wasm`?');
}

/** Pages of 64 KiB that hold `bytes`. */
export const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES);
