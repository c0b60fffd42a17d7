import { messageOf } from '../lib/message.ts';
import type { Json, JsonObject, MutableJsonObject } from '../model/json.ts';
import { depthOf, emptyObject, isObject, parseExact } from '../values/json.ts';
import { BundleError } from './error.ts';
import type { BundleFiles } from './unpack.ts';
import { parseYaml } from './yaml.ts';

const MAX_DEPTH = 500;
/** YAML takes about a second per MiB to read, during which nothing is answered; JSON a twentieth of that. */
const MAX_YAML_BYTES = 1_048_576;

/** data.json, data.yaml and data.yml of every folder, each at its folder's path. Throws BundleError. */
export function readData(files: BundleFiles): JsonObject {
  const data = emptyObject();
  let yamlBytes = 0;
  for (const [name, content] of files) {
    const folders = name.split('/');
    const file = folders.pop();
    if (file !== 'data.json' && file !== 'data.yaml' && file !== 'data.yml') continue;
    if (file !== 'data.json') yamlBytes += content.length;
    if (yamlBytes > MAX_YAML_BYTES) {
      throw new BundleError(`more than ${MAX_YAML_BYTES} bytes of YAML; \`opa build\` makes JSON of it`);
    }
    const value = file === 'data.json' ? parseJson(name, content) : readYaml(name, content);
    if (folders.length === 0 && !isObject(value)) throw new BundleError(`${name} is not an object`);
    const nested = folders.reduceRight<Json>(
      (inner, folder) => Object.assign(emptyObject(), { [folder]: inner }),
      value,
    );
    mergeInto(data, nested as JsonObject, name);
  }
  return data;
}

/** JSON with all digits of its numbers. Throws BundleError, which says where but not what. */
export function parseJson(name: string, content: Buffer): Json {
  const text = content.toString('utf8');
  if (depthOf(text) > MAX_DEPTH) throw new BundleError(`${name} is nested too deep`);
  try {
    return parseExact(text);
  } catch (error) {
    const [place = ''] = / at position \d+/.exec(messageOf(error)) ?? [];
    throw new BundleError(`${name} is not JSON${place}`);
  }
}

function readYaml(name: string, content: Buffer): Json {
  let json: string;
  try {
    json = parseYaml(content.toString('utf8'));
  } catch (error) {
    throw new BundleError(`${name}: ${messageOf(error)}`);
  }
  return parseJson(name, Buffer.from(json));
}

/** Adds `more` to `data`. Throws BundleError where both have a value that is not an object. */
export function mergeInto(data: MutableJsonObject, more: JsonObject, origin: string): void {
  for (const [key, value] of Object.entries(more)) {
    const present = data[key];
    if (present === undefined) data[key] = value;
    else if (isObject(present) && isObject(value)) {
      const copy = Object.assign(emptyObject(), present);
      mergeInto(copy, value, origin);
      data[key] = copy;
    } else throw new BundleError(`${origin}: ${key} is there already`);
  }
}
