/*
 * `with input.a as 1` copies the input before it changes it. OPA's compiler does so whenever there is an input, and the
 * copy of one that is no object is garbage: a trap at best. Go takes an empty object instead. The code that the compiler
 * makes (internal/compiler/wasm, compileUpsert) is found by its shape and given the condition that it lacks.
 */

/** local.get LOCAL; i32.load8_u (a value's type); i32.const 6 (an object); i32.ne; br_if 0 */
const typeCheck = (getLocal: Uint8Array): Uint8Array =>
  Uint8Array.of(...getLocal, 0x2d, 0x00, 0x00, 0x41, 0x06, 0x47, 0x0d, 0x00);

/**
 * Given the instruction `local.get` at `start`: what to insert where, if the copy of `with` begins with it. The shape is
 * local.get L; i32.eqz; br_if 0; local.get L; call COPY; local.tee L; local.set M; br 1; end; call OBJECT; local.tee L;
 * local.set M.
 */
export function mendedWith(
  body: Uint8Array,
  start: number,
  end: number,
): { readonly at: number; readonly code: Uint8Array } | undefined {
  // Nearly every local.get ends here, and there are many.
  if (body[end] !== 0x45) return undefined;
  const getLocal = body.subarray(start, end);
  const local = body.subarray(start + 1, end);
  let at = end;
  const literal = (...bytes: readonly number[]): boolean => bytes.every((byte) => body[at++] === byte);
  const sameLocal = (): boolean => literal(...local);
  /** A number of any length (LEB128), as the text of its bytes. */
  const number = (): string => {
    const from = at;
    while ((body[at++] ?? 0) >= 0x80);
    return String(body.subarray(from, at));
  };
  if (!literal(0x45, 0x0d, 0x00)) return undefined;
  const insertAt = at;
  if (!(literal(0x20) && sameLocal() && literal(0x10))) return undefined;
  number();
  if (!(literal(0x22) && sameLocal() && literal(0x21))) return undefined;
  const copied = number();
  if (!literal(0x0c, 0x01, 0x0b, 0x10)) return undefined;
  number();
  if (!(literal(0x22) && sameLocal() && literal(0x21) && number() === copied)) return undefined;
  return { at: insertAt, code: typeCheck(getLocal) };
}
