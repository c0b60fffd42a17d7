/** The part of the WebAssembly JavaScript interface that is used here; neither TypeScript's es library nor Node's types have it. */
declare namespace WebAssembly {
  class Module {
    private readonly brand: never;
    static imports(module: Module): { readonly module: string; readonly name: string }[];
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
    /** Grows by a number of 64 KiB pages. Throws RangeError beyond the maximum. */
    grow(pages: number): number;
  }
  class RuntimeError extends Error {}
  class Global {
    value: unknown;
  }
  type ModuleImports = { readonly [name: string]: Memory | ((...args: number[]) => number) };
  class Instance {
    constructor(module: Module, imports: { readonly [module: string]: ModuleImports });
    readonly exports: { readonly [name: string]: unknown };
  }
  function validate(bytes: Uint8Array): boolean;
  function compile(bytes: Uint8Array): Promise<Module>;
}
