/** What the policy reads cannot be known: the module is not as OPA's compiler makes them, or too large. */
export class Unsure extends Error {
  override readonly name = 'Unsure';
}
