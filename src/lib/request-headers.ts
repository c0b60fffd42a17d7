type Header = readonly [name: string, value: string];

/** The headers of a request: by name, or as a list, where the order and repetition that came are known. */
export type RequestHeaders = {
  readonly headers: Readonly<Record<string, string>>;
  readonly headerList: readonly Header[];
};

/**
 * Those of a name, in whatever case, with the spelling that came; first those by name. On every request's path, so that it
 * makes no lists of all headers.
 */
export function headersNamed({ headers, headerList }: RequestHeaders, name: string): readonly Header[] {
  const wanted = name.toLowerCase();
  const found: Header[] = [];
  for (const key of Object.keys(headers)) {
    if (key.length === wanted.length && key.toLowerCase() === wanted) found.push([key, headers[key] ?? '']);
  }
  for (const header of headerList) {
    if (header[0].length === wanted.length && header[0].toLowerCase() === wanted) found.push(header);
  }
  return found;
}

/** The value of a header that is there once, in whatever case. */
export function onlyHeader(request: RequestHeaders, name: string): string | undefined {
  const [only, ...others] = headersNamed(request, name);
  return others.length === 0 ? only?.[1] : undefined;
}

/** The values of a header joined by commas (RFC 9110 section 5.3); undefined when there are none, or in no known order. */
export function joinedHeader(request: RequestHeaders, name: string): string | undefined {
  const found = headersNamed(request, name);
  const isOrdered = found.length === 1 || !Object.entries(request.headers).some(isNamed(name));
  return found.length > 0 && isOrdered ? found.map(([, value]) => value).join(',') : undefined;
}

function isNamed(name: string): (header: Header) => boolean {
  const wanted = name.toLowerCase();
  return ([key]) => key.length === wanted.length && key.toLowerCase() === wanted;
}
