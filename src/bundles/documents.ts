import { messageOf } from '../lib/message.ts';
import type { Json } from '../model/json.ts';
import { depthOf, parseExact } from '../values/json.ts';
import { BundleError } from './error.ts';
import type { BundleFiles } from './unpack.ts';
import { parseYaml } from './yaml.ts';

/** Deepest nesting of a document, and of the data that bundles and deltas make of them. */
export const MAX_DEPTH = 500;
/** YAML takes about a second per MiB to read, during which nothing is answered; JSON a twentieth of that. */
const MAX_YAML_BYTES = 1_048_576;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

const isYaml = (name: string): boolean => ['data.yaml', 'data.yml'].includes(baseName(name));
/** What becomes a part of `data`. */
export const isData = (name: string): boolean => baseName(name) === 'data.json' || isYaml(name);

/** A file of the bundle as a document. Throws BundleError, which says where but not what. */
export type Documents = (name: string) => Json;

/** The documents of a bundle, each parsed once, when it is first asked for. */
export function createDocuments(files: BundleFiles): Documents {
  const known = new Map<string, Json>();
  let yamlBytes = 0;

  function read(name: string): Json {
    const content = files.get(name);
    if (content === undefined) throw new BundleError(`${name} is not in the bundle`);
    const text = textOf(name, content);
    if (!isYaml(name)) return parseJson(name, text);
    const body = text.replace(/^\ufeff/, '');
    if (isJson(body)) return parseJson(name, body);
    yamlBytes += content.length;
    if (yamlBytes > MAX_YAML_BYTES) {
      throw new BundleError(`more than ${MAX_YAML_BYTES} bytes of YAML; \`opa build\` makes JSON of it`);
    }
    return readYaml(name, body);
  }

  return (name) => {
    const present = known.get(name);
    if (present !== undefined) return present;
    const document = read(name);
    known.set(name, document);
    return document;
  };
}

function textOf(name: string, content: Buffer): string {
  try {
    return utf8.decode(content);
  } catch {
    throw new BundleError(`${name} is not UTF-8`);
  }
}

/** JSON with all digits of its numbers. Throws BundleError, which says where but not what. */
function parseJson(name: string, text: string): Json {
  if (depthOf(text) > MAX_DEPTH) throw new BundleError(`${name} is nested too deep`);
  try {
    return parseExact(text);
  } catch (error) {
    const [place = ''] = / at position \d+/.exec(messageOf(error)) ?? [];
    throw new BundleError(`${name} is not JSON${place}`);
  }
}

/** JSON is YAML as well, but OPA keeps the digits of the former only. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function readYaml(name: string, text: string): Json {
  let json: string;
  try {
    json = parseYaml(text);
  } catch (error) {
    throw new BundleError(`${name}: ${messageOf(error)}`);
  }
  return parseJson(name, json);
}
