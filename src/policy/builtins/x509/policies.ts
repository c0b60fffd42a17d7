import type { Certificate, Limit } from './model.ts';

/*
 * Certificate policies along a chain (RFC 5280 section 6.1, with the graph of RFC 9618 in the place of the tree). Any
 * policy is acceptable; a chain fails only where a certificate of it asks for a policy that is valid all the way.
 */

type Node = {
  /** Object identifier in hexadecimal DER. */
  readonly policy: string;
  expected: readonly string[];
  readonly parents: Set<Node>;
  readonly children: Set<Node>;
};

const ANY_POLICY = '551d2000';

type Level = Map<string, Node>;

function createNode(policy: string, parents: readonly Node[]): Node {
  const node: Node = { policy, expected: [policy], parents: new Set(parents), children: new Set() };
  for (const parent of parents) parent.children.add(node);
  return node;
}

/** Takes away nodes of inner levels that lead nowhere. */
function prune(levels: readonly Level[]): void {
  for (let depth = levels.length - 2; depth > 0; depth--) {
    for (const node of levels[depth]?.values() ?? []) {
      if (node.children.size === 0) detach(levels[depth], node);
    }
  }
}

function detach(level: Level | undefined, node: Node): void {
  for (const parent of node.parents) parent.children.delete(node);
  for (const child of node.children) child.parents.delete(node);
  level?.delete(node.policy);
}

/** Adds the level of one certificate's policies below the last one. */
function addLevel(levels: Level[], policies: readonly string[], isAnyAllowed: boolean): Level {
  const above: Level = levels[levels.length - 1] ?? new Map();
  const level: Level = new Map();
  const expecting = Map.groupBy(
    [...above.values()].flatMap((node) => node.expected.map((policy) => ({ policy, node }))),
    ({ policy }) => policy,
  );
  const anyParent = above.get(ANY_POLICY);
  for (const policy of policies) {
    if (policy === ANY_POLICY) continue;
    const parents = expecting.get(policy)?.map(({ node }) => node) ?? (anyParent === undefined ? [] : [anyParent]);
    if (parents.length > 0) level.set(policy, createNode(policy, parents));
  }
  if (isAnyAllowed && policies.includes(ANY_POLICY)) {
    for (const [policy, found] of expecting) {
      const parents = found.map(({ node }) => node);
      if (!level.has(policy)) level.set(policy, createNode(policy, parents));
    }
  }
  levels.push(level);
  prune(levels);
  return level;
}

/** False when a mapping is one that RFC 5280 section 6.1.4 (a) forbids. */
function mapPolicies(levels: readonly Level[], level: Level, certificate: Certificate, isAllowed: boolean): boolean {
  const mappings = certificate.policyMappings.map(({ issuer, subject }) => ({
    issuer: issuer.toString('hex'),
    subject: subject.toString('hex'),
  }));
  if (!isAllowed) {
    for (const { issuer } of mappings) {
      const node = level.get(issuer);
      if (node !== undefined) detach(level, node);
    }
    prune(levels);
    return true;
  }
  if (mappings.some(({ issuer, subject }) => issuer === ANY_POLICY || subject === ANY_POLICY)) return false;
  prune(levels);
  for (const [issuer, found] of Map.groupBy(mappings, (mapping) => mapping.issuer)) {
    const any = level.get(ANY_POLICY);
    const node = level.get(issuer) ?? (any === undefined ? undefined : createNode(issuer, [any]));
    if (node === undefined) continue;
    node.expected = found.map(({ subject }) => subject);
    level.set(issuer, node);
  }
  return true;
}

/** Whether a policy is left that holds from the root to the leaf. */
function isAnyLeft(levels: readonly Level[]): boolean {
  if (levels[levels.length - 1]?.has(ANY_POLICY)) return true;
  return levels.some((level) =>
    [...level.values()].some(
      ({ policy, parents }) =>
        policy !== ANY_POLICY && parents.size === 1 && [...parents].every((parent) => parent.policy === ANY_POLICY),
    ),
  );
}

/** The smaller one of a count and of what a certificate allows. */
const limited = (count: number, { value, isZero }: Limit): number =>
  (isZero || value > 0n) && value < BigInt(count) ? Number(value) : count;

/** Whether the policies of a chain, the leaf first, are good. */
export function policiesAreValid(chain: readonly Certificate[], checkDeadline: () => void): boolean {
  const below = chain.length - 1;
  if (below === 0) return true;
  let levels: Level[] | undefined = [new Map([[ANY_POLICY, createNode(ANY_POLICY, [])]])];
  let explicit = below + 1;
  let mapping = below + 1;
  let any = below + 1;
  for (let index = below - 1; index >= 0; index--) {
    const certificate = chain[index];
    if (certificate === undefined) return false;
    checkDeadline();
    const isSelfSigned = certificate.rawIssuer.equals(certificate.rawSubject);
    const policies = (certificate.policies ?? []).map((oid) => oid.toString('hex'));
    if (policies.length === 0) levels = undefined;
    if (explicit === 0 && levels === undefined) return false;
    if (levels !== undefined) {
      const level = addLevel(levels, policies, any > 0 || (index > 0 && isSelfSigned));
      const hasMappings = index > 0 && certificate.policyMappings.length > 0;
      if (hasMappings && !mapPolicies(levels, level, certificate, mapping > 0)) return false;
    }
    if (index === 0) break;
    const step = isSelfSigned ? 0 : 1;
    explicit = limited(Math.max(explicit - step, 0), certificate.requireExplicitPolicy);
    mapping = limited(Math.max(mapping - step, 0), certificate.inhibitPolicyMapping);
    any = limited(Math.max(any - step, 0), certificate.inhibitAnyPolicy);
  }
  const isExplicit = explicit <= 1 || chain[0]?.requireExplicitPolicy.isZero;
  return !isExplicit || (levels !== undefined && isAnyLeft(levels));
}
