/** What of a document is read: all of it, or of an object the members that are named, and of them what they say. */
export type Reads = true | { readonly [key: string]: Reads };
