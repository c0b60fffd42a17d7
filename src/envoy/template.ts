/*
 * Most answers differ in nothing but the id of the decision, and putting together their nested messages takes longer than
 * copying them. So they are made once, around an id that stands for all.
 */

const ANY_ID = '00000000-0000-7000-8000-000000000000';

/** The same answers as `make` gives; `make` must put the id into them as it is, and do nothing else with it. */
export function templateOf(make: (decisionId: string) => Buffer): (decisionId: string) => Buffer {
  let template: Buffer | undefined;
  let places: readonly number[] = [];
  return (decisionId) => {
    // Lengths stand before what has them.
    if (decisionId.length !== ANY_ID.length) return make(decisionId);
    if (template === undefined) {
      template = make(ANY_ID);
      places = placesOf(template);
    }
    const answer = Buffer.allocUnsafe(template.length);
    template.copy(answer);
    for (const place of places) answer.write(decisionId, place, 'latin1');
    return answer;
  };
}

function placesOf(template: Buffer): readonly number[] {
  const places: number[] = [];
  for (let at = template.indexOf(ANY_ID); at >= 0; at = template.indexOf(ANY_ID, at + 1)) places.push(at);
  return places;
}
