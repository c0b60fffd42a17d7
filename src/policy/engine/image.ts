/** A module's memory with its data in it, as it was before anything was asked; moves from thread to thread. */
export type MemoryImage = {
  /** From address 0 to the end of the data. A buffer of its own, which whoever has used it hands back. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly globals: { readonly [name: string]: unknown };
  /** Of the whole memory. */
  readonly memoryBytes: number;
  /** Where the heap began before there were data. */
  readonly baseHeap: number;
  readonly dataAddress: number;
  readonly dataHeap: number;
  /** Where the module keeps the size of its memory, if that is known. */
  readonly topAddress: number | undefined;
};
