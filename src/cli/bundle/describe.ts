import type { BundleReport, SignatureReport } from './ports.ts';

const MAX_LENGTH = 1000;

/** Text that somebody else wrote, for a terminal: nothing that moves the cursor, and not without end. */
export function printable(text: string): string {
  const start = text.slice(0, MAX_LENGTH);
  const plain = start.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);
  return text.length > MAX_LENGTH ? `${plain}…` : plain;
}

const escaped = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}}`;

/** `name:   value`, as every line of what the bundle commands tell. */
export const line = (name: string, value: string): string =>
  `${`${name}:`.padEnd(13)}${value === '' ? 'none' : printable(value)}`;

export const rootsText = (roots: readonly string[]): string =>
  roots.map((root) => (root === '' ? '(everything)' : root)).join(', ');

/** `2026-01-01T00:00:00Z` */
export function timeText(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? `second ${seconds}` : time.toISOString().replace('.000Z', 'Z');
}

export function signatureText(signature: SignatureReport | undefined): string {
  if (signature === undefined) return 'none';
  const { keyId, algorithm, issuedAt, issuer, scope, files, verified } = signature;
  return [
    `key ${keyId ?? '(not named)'}`,
    algorithm,
    ...(issuedAt === undefined ? [] : [`issued ${timeText(issuedAt)}`]),
    ...(issuer === undefined ? [] : [`by ${issuer}`]),
    ...(scope === undefined ? [] : [`scope ${scope}`]),
    `${files} files`,
    verified ? 'verified' : 'not verified',
  ].join(', ');
}

/** What is in a bundle, line by line, and whether it can serve. */
export function describe(report: BundleReport): string {
  const { revision, roots, modules, data, sources, metadata, signature, problems } = report;
  const lines = [
    line('revision', revision),
    line('roots', rootsText(roots)),
    line('data', `${data} bytes`),
    line('sources', sources.length === 0 ? 'none' : `${sources.length} Rego files`),
    ...(Object.keys(metadata).length === 0 ? [] : [line('metadata', JSON.stringify(metadata))]),
    line('signature', signatureText(signature)),
    ...modules.flatMap(({ path, size, abi, memory, entrypoints, builtins, waiting }) => [
      line('module', `${path}, ${size} bytes, ABI ${abi ?? 'unknown'}, ${memory} bytes of memory`),
      line('entrypoints', entrypoints.join(', ')),
      line('built-ins', builtins.join(', ')),
      ...(waiting.length === 0 ? [] : [line('network', waiting.join(', '))]),
    ]),
    ...problems.map((problem) => line('problem', problem)),
    problems.length === 0 ? 'it can serve' : 'it cannot serve',
  ];
  return `${lines.join('\n')}\n`;
}
