/*
 * The README's table of results stands between two markers.
 */

const START = '<!-- bench:start -->';
const END = '<!-- bench:end -->';

/** What stands between the markers. Throws when there is not one pair of them. */
export function benchPartOf(readme: string): string {
  const [before = '', ...others] = readme.split(START);
  const [part = '', ...rest] = (others[0] ?? '').split(END);
  if (others.length !== 1 || rest.length !== 1 || before.includes(END))
    throw new Error(`the README needs one ${START} and one ${END}`);
  return part.trim();
}

/** The README with another table. */
export function withBenchPart(readme: string, part: string): string {
  benchPartOf(readme);
  const [before = ''] = readme.split(START);
  const [, after = ''] = readme.split(END);
  return `${before}${START}\n${part}\n${END}${after}`;
}
