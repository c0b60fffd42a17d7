/** Cases that do not hold, by suite and note, each with the reason why they cannot. A listed case that holds fails the test. */
export const exceptions: ReadonlyMap<string, string> = new Map();
