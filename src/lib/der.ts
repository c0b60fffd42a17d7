/*
 * As much of DER (ITU-T X.690) as it takes to find one's way through what OpenSSL has read, or will read, as a whole.
 */

export type Element = { readonly tag: number; readonly content: Buffer; readonly whole: Buffer };

/** The elements that follow each other in these bytes. Throws Error when they do not end with one. */
export function elementsOf(bytes: Buffer, atMost: number): readonly Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (elements.length === atMost) throw new Error(`more than ${atMost} elements`);
    const element = elementAt(bytes, at);
    elements.push(element);
    at += element.whole.length;
  }
  return elements;
}

function elementAt(bytes: Buffer, at: number): Element {
  const tag = bytes[at];
  const short = bytes[at + 1];
  if (tag === undefined || short === undefined) throw new Error('half an element');
  let start = at + 2;
  let length = short;
  if (short >= 0x80) {
    const count = short & 0x7f;
    // Four bytes of length are more than anything here may have; none is BER's indefinite form.
    if (count === 0 || count > 4 || start + count > bytes.length) throw new Error('an element without a length');
    length = bytes.readUIntBE(start, count);
    start += count;
  }
  if (start + length > bytes.length) throw new Error('half an element');
  return { tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) };
}
