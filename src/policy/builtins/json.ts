import { compare } from '../../values/compare.ts';
import { keyText } from '../../values/dump.ts';
import { type Entry, isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, BuiltinError, checkChars } from './builtin.ts';
import { escapeJson, marshalJson } from './go-json.ts';
import { arrayAt, objectAt, stringAt } from './operands.ts';

/*
 * https://www.openpolicyagent.org/docs/policy-reference/builtins/object (json.patch) and .../encoding
 */

type Path = readonly Value[];

/** A JSON pointer (RFC 6901; a leading slash may be missing) or an array of keys. */
function pathOf(value: Value | undefined): Path {
  if (isArray(value)) return value;
  const text = stringAt(1, value);
  if (text === '') return [];
  return text
    .replace(/^\/+/, '')
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

const missing = (): BuiltinError => new BuiltinError('a path of the patch leads nowhere');

/** A position of an array: an index without leading zeros, or `-` for its end. */
function indexOf(array: readonly Value[], key: Value, forAdding: boolean): number {
  if (key === '-' && forAdding) return array.length;
  const isIndex = typeof key === 'number' || (typeof key === 'string' && /^(?:0|[1-9]\d{0,9})$/.test(key));
  const index = isIndex ? Number(key) : -1;
  const end = forAdding ? array.length : array.length - 1;
  if (!Number.isInteger(index) || index < 0 || index > end) throw missing();
  return index;
}

function child(value: Value, key: Value): Value {
  const found = isArray(value)
    ? value[indexOf(value, key, false)]
    : value instanceof RegoObject
      ? value.get(key)
      : value instanceof RegoSet && value.has(key)
        ? key
        : undefined;
  if (found === undefined) throw missing();
  return found;
}

const at = (value: Value, path: Path): Value => path.reduce(child, value);

/** `value` with what `change` makes of the parent of the path's end. */
function edit(value: Value, path: Path, change: (parent: Value, key: Value) => Value): Value {
  const [key, ...rest] = path;
  if (key === undefined) throw missing();
  if (rest.length === 0) return change(value, key);
  const edited = edit(child(value, key), rest, change);
  if (value instanceof RegoSet) return add(remove(value, key), edited, edited);
  return put(value, key, edited);
}

function put(parent: Value, key: Value, member: Value): Value {
  if (isArray(parent)) return parent.with(indexOf(parent, key, false), member);
  if (parent instanceof RegoObject) return new RegoObject([...parent, [key, member]]);
  throw missing();
}

function add(parent: Value, key: Value, member: Value): Value {
  if (isArray(parent)) return parent.toSpliced(indexOf(parent, key, true), 0, member);
  if (parent instanceof RegoObject) return new RegoObject([...parent, [key, member]]);
  if (parent instanceof RegoSet && compare(key, member) === 0) return new RegoSet([...parent, member]);
  throw missing();
}

function remove(parent: Value, key: Value): Value {
  child(parent, key);
  if (isArray(parent)) return parent.toSpliced(indexOf(parent, key, false), 1);
  if (parent instanceof RegoObject) return new RegoObject([...parent].filter(([other]) => compare(other, key) !== 0));
  if (parent instanceof RegoSet) return new RegoSet([...parent].filter((other) => compare(other, key) !== 0));
  throw missing();
}

const insert = (target: Value, path: Path, member: Value): Value =>
  path.length === 0 ? member : edit(target, path, (parent, key) => add(parent, key, member));

/** One operation of RFC 6902. Throws BuiltinError when it cannot be done. */
function apply(target: Value, operation: RegoObject): Value {
  const path = pathOf(operation.get('path'));
  const value = (): Value => {
    const given = operation.get('value');
    if (given === undefined) throw new BuiltinError('an operation of the patch has no value');
    return given;
  };
  const without = (from: Path): Value => edit(target, from, remove);
  switch (operation.get('op')) {
    case 'add':
      return insert(target, path, value());
    case 'remove':
      return without(path);
    case 'replace':
      if (path.length === 0) return value();
      return edit(target, path, (parent, key) => {
        child(parent, key);
        if (parent instanceof RegoSet) return add(remove(parent, key), value(), value());
        return put(parent, key, value());
      });
    case 'move': {
      const from = pathOf(operation.get('from'));
      const moved = at(target, from);
      return insert(from.length === 0 ? target : without(from), path, moved);
    }
    case 'copy':
      return insert(target, path, at(target, pathOf(operation.get('from'))));
    case 'test':
      if (compare(at(target, path), value()) !== 0) throw new BuiltinError('a test of the patch does not hold');
      return target;
    default:
      throw new BuiltinError('an operation of the patch is not known');
  }
}

function marshal(value: Value, options: RegoObject): string {
  const known = ['pretty', 'indent', 'prefix'];
  if (options.sorted().some(([key]) => !known.includes(String(key)))) throw new BuiltinError('an option is not known');
  const pretty = options.get('pretty') ?? options.size > 0;
  if (typeof pretty !== 'boolean') throw new BuiltinError('pretty must be a boolean', 'eval_type_error');
  const indent = stringAt(2, options.get('indent') ?? '\t');
  const prefix = stringAt(2, options.get('prefix') ?? '');
  const text = pretty ? prefix + indented(value, indent, `\n${prefix}`) : marshalJson(value);
  checkChars(text.length);
  return text;
}

function indented(value: Value, indent: string, line: string): string {
  const inner = line + indent;
  const block = (open: string, members: readonly string[], close: string): string =>
    members.length === 0 ? open + close : `${open}${inner}${members.join(`,${inner}`)}${line}${close}`;
  if (isArray(value))
    return block(
      '[',
      value.map((member) => indented(member, indent, inner)),
      ']',
    );
  if (value instanceof RegoSet) return indented(value.sorted(), indent, line);
  if (!(value instanceof RegoObject)) return marshalJson(value);
  const member = ([key, one]: Entry): string =>
    `${escapeJson(JSON.stringify(keyText(key)))}: ${indented(one, indent, inner)}`;
  return block('{', value.sorted().map(member), '}');
}

export const jsonBuiltins: readonly Builtin[] = [
  {
    name: 'json.patch',
    arity: 2,
    run: (_ctx, target = null, operations) =>
      arrayAt(2, operations).reduce((value: Value, operation) => apply(value, objectAt(2, operation)), target),
  },
  { name: 'json.marshal', arity: 1, keepsSpelling: true, run: (_ctx, value = null) => marshalJson(value) },
  {
    name: 'json.marshal_with_options',
    arity: 2,
    keepsSpelling: true,
    run: (_ctx, value = null, options) => marshal(value, objectAt(2, options)),
  },
];
