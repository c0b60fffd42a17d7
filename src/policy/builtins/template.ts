import { isArray, RegoObject, RegoSet, type Value } from '../../values/value.ts';
import { type Builtin, type BuiltinContext, BuiltinError } from './builtin.ts';
import { objectAt, stringAt } from './operands.ts';
import { executeTemplate } from './template/execute.ts';
import { templateFunctions } from './template/functions.ts';
import { parseTemplate, type Template } from './template/parse.ts';

/*
 * Go templates. https://www.openpolicyagent.org/docs/policy-reference/builtins/strings
 */

const FUNCTIONS = new Set(templateFunctions.keys());

/** Longer templates are read anew each time. */
const MAX_CACHED_CHARS = 65_536;

function templateOf(ctx: BuiltinContext, text: string): Template {
  const cacheKey = `strings.render_template:${text}`;
  const known = ctx.cache.get(cacheKey) as Template | undefined;
  if (known !== undefined) return known;
  const template = parseTemplate(text, FUNCTIONS, ctx.checkDeadline);
  if (text.length <= MAX_CACHED_CHARS) ctx.cache.set(cacheKey, template);
  return template;
}

/** Go quotes these in a way that JSON does not have. */
const UNQUOTABLE = /[^\b\t\n\f\r\x20-\x7e\x80-\uffff\p{L}\p{M}\p{N}\p{P}\p{S}]/u;

/** OPA hands its values over as text of Rego that is read as JSON. Throws BuiltinError for what is no JSON. */
function requireJson(value: Value): void {
  if (typeof value === 'string' && UNQUOTABLE.test(value)) throw new BuiltinError('a string that JSON does not have');
  if (value instanceof RegoSet) throw new BuiltinError('a set is no value of a template');
  if (isArray(value)) for (const member of value) requireJson(member);
  if (!(value instanceof RegoObject)) return;
  for (const [key, member] of value) {
    if (typeof key !== 'string') throw new BuiltinError('a key is no string');
    requireJson(key);
    requireJson(member);
  }
}

function render(ctx: BuiltinContext, text: string, data: RegoObject): string {
  requireJson(data);
  const rendered = executeTemplate(templateOf(ctx, text), data, ctx.checkDeadline);
  return rendered.toWellFormed().replaceAll('<no value>', '<undefined>');
}

export const templateBuiltins: readonly Builtin[] = [
  {
    name: 'strings.render_template',
    arity: 2,
    run: (ctx, text, data) => render(ctx, stringAt(1, text), objectAt(2, data)),
  },
];
