type Header = { readonly name: string; readonly lower: string; readonly value: string };

/** The headers of a request: by name, or as a list, where the order and repetition that came are known. */
export type RequestHeaders = {
  readonly headers: readonly Header[];
  readonly headerList: readonly Header[];
};

/** Those of a name, in whatever case, with the spelling that came; first those by name. */
export function headersNamed({ headers, headerList }: RequestHeaders, name: string): readonly Header[] {
  const wanted = name.toLowerCase();
  const found: Header[] = [];
  for (const header of headers) if (header.lower === wanted) found.push(header);
  for (const header of headerList) if (header.lower === wanted) found.push(header);
  return found;
}

/** The value of a header that is there once, in whatever case. */
export function onlyHeader(request: RequestHeaders, name: string): string | undefined {
  const [only, ...others] = headersNamed(request, name);
  return others.length === 0 ? only?.value : undefined;
}

/** The values of a header joined by commas (RFC 9110 section 5.3); undefined when there are none, or in no known order. */
export function joinedHeader(request: RequestHeaders, name: string): string | undefined {
  const found = headersNamed(request, name);
  const wanted = name.toLowerCase();
  const isOrdered = found.length === 1 || !request.headers.some(({ lower }) => lower === wanted);
  return found.length > 0 && isOrdered ? found.map(({ value }) => value).join(',') : undefined;
}
