import { BuiltinError, HaltError } from '../builtin.ts';
import { type Token, type TokenType, tokenize } from './lex.ts';
import { characterCode, type Float, numberConstant, unquote } from './literals.ts';

/*
 * The syntax of Go templates (https://pkg.go.dev/text/template).
 */

export type Operand =
  | { readonly type: 'dot' | 'nil' }
  | { readonly type: 'constant'; readonly value: boolean | string | bigint | Float }
  | { readonly type: 'field'; readonly names: readonly string[] }
  | { readonly type: 'variable'; readonly name: string; readonly names: readonly string[] }
  | { readonly type: 'function'; readonly name: string }
  | { readonly type: 'pipeline'; readonly pipeline: Pipeline }
  | { readonly type: 'chain'; readonly operand: Operand; readonly names: readonly string[] };

/** The first operand is what is called or meant. */
export type Command = readonly [Operand, ...Operand[]];

export type Pipeline = {
  readonly variables: readonly string[];
  /** Whether variables that are there get another value. */
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
};

export type TemplateNode =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'action'; readonly pipeline: Pipeline }
  | {
      readonly type: 'if' | 'with' | 'range';
      readonly pipeline: Pipeline;
      readonly body: readonly TemplateNode[];
      readonly otherwise: readonly TemplateNode[] | undefined;
    }
  | { readonly type: 'template'; readonly name: string; readonly pipeline: Pipeline | undefined }
  | { readonly type: 'break' | 'continue' };

export type Template = {
  readonly nodes: readonly TemplateNode[];
  readonly named: ReadonlyMap<string, readonly TemplateNode[]>;
};

/** Nesting of blocks and parentheses. */
const MAX_DEPTH = 200;

type Block = { readonly nodes: readonly TemplateNode[]; readonly end: 'end' | 'else' | undefined };

/** What one template's text may refer to. */
type Scope = { variables: string[]; ranges: number };

/** The template that has the whole text. */
const MAIN = 'template';

/** Throws BuiltinError for what is no template, HaltError when it is nested too deep. */
export function parseTemplate(text: string, functions: ReadonlySet<string>, checkDeadline: () => void): Template {
  const tokens = tokenize(text, checkDeadline);
  const named = new Map<string, readonly TemplateNode[]>();
  let at = 0;
  let depth = 0;

  function fail(message: string): never {
    throw new BuiltinError(`template: ${message}`);
  }

  const unexpected = (token: Token, where: string): never =>
    fail(`unexpected ${token.type === 'end' ? 'EOF' : JSON.stringify(token.text.slice(0, 20))} in ${where}`);

  const peek = (): Token => tokens[at] ?? { type: 'end', text: '' };

  function peekPastSpace(): Token {
    while (peek().type === 'space') at++;
    return peek();
  }

  function next(): Token {
    const token = peekPastSpace();
    at++;
    return token;
  }

  function expect(type: TokenType, where: string): Token {
    const token = next();
    return token.type === type ? token : unexpected(token, where);
  }

  function nested<T>(read: () => T): T {
    if (++depth > MAX_DEPTH) throw new HaltError('eval_limit_error', 'a template is nested too deep');
    const result = read();
    depth--;
    return result;
  }

  function isKeyword(token: Token, word: string): boolean {
    return token.type === 'keyword' && token.text === word;
  }

  /** Up to an end, an else or the text's end. */
  function block(scope: Scope, isTop: boolean): Block {
    const nodes: TemplateNode[] = [];
    for (;;) {
      checkDeadline();
      const token = next();
      if (token.type === 'text') nodes.push({ type: 'text', text: token.text });
      else if (token.type === 'end') {
        if (!isTop) fail('unexpected EOF');
        return { nodes, end: undefined };
      } else if (token.type !== 'open') unexpected(token, 'input');
      else {
        const node = action(scope, isTop);
        if (node === 'end' || node === 'else') {
          if (isTop) fail(`unexpected {{${node}}}`);
          return { nodes, end: node };
        }
        if (node !== 'definition') nodes.push(node);
      }
    }
  }

  function action(scope: Scope, isTop: boolean): TemplateNode | 'end' | 'else' | 'definition' {
    const token = peekPastSpace();
    if (token.type !== 'keyword') return { type: 'action', pipeline: pipeline(scope, 'command', 'close') };
    at++;
    switch (token.text) {
      case 'end':
        expect('close', 'end');
        return 'end';
      case 'else':
        if (!isKeyword(peekPastSpace(), 'if') && !isKeyword(peek(), 'with')) expect('close', 'else');
        return 'else';
      case 'if':
      case 'with':
      case 'range':
        return nested(() => control(scope, token.text as 'if' | 'with' | 'range'));
      case 'break':
      case 'continue':
        expect('close', `{{${token.text}}}`);
        if (scope.ranges === 0) fail(`{{${token.text}}} outside {{range}}`);
        return { type: token.text };
      case 'template':
        return call(scope);
      case 'block':
        return nested(() => blockClause(scope));
      default:
        if (!isTop) return unexpected(token, 'command');
        nested(definition);
        return 'definition';
    }
  }

  function control(scope: Scope, type: 'if' | 'with' | 'range'): TemplateNode {
    const { length } = scope.variables;
    const condition = pipeline(scope, type, 'close');
    if (type === 'range') scope.ranges++;
    const { nodes: body, end } = block(scope, false);
    if (type === 'range') scope.ranges--;
    let otherwise: readonly TemplateNode[] | undefined;
    if (end === 'else') {
      if (type !== 'range' && isKeyword(peek(), type)) {
        at++;
        otherwise = [nested(() => control(scope, type))];
      } else {
        const other = block(scope, false);
        if (other.end !== 'end') fail('expected end; found {{else}}');
        otherwise = other.nodes;
      }
    }
    scope.variables.length = length;
    return { type, pipeline: condition, body, otherwise };
  }

  function templateName(where: string): string {
    return unquote(expect('string', where).text);
  }

  function call(scope: Scope): TemplateNode {
    const name = templateName('template clause');
    if (peekPastSpace().type !== 'close') {
      return { type: 'template', name, pipeline: pipeline(scope, 'template clause', 'close') };
    }
    at++;
    return { type: 'template', name, pipeline: undefined };
  }

  function blockClause(scope: Scope): TemplateNode {
    const name = templateName('block clause');
    const argument = pipeline(scope, 'block clause', 'close');
    define(name, 'block clause');
    return { type: 'template', name, pipeline: argument };
  }

  function definition(): void {
    const name = templateName('define clause');
    expect('close', 'define clause');
    define(name, 'define clause');
  }

  function define(name: string, where: string): void {
    const { nodes, end } = block({ variables: ['$'], ranges: 0 }, false);
    if (end !== 'end') fail(`unexpected {{else}} in ${where}`);
    add(name, nodes);
  }

  /** A template without contents may be defined again. */
  function add(name: string, nodes: readonly TemplateNode[]): void {
    const before = named.get(name);
    if (before === undefined || isEmpty(before)) named.set(name, nodes);
    else if (!isEmpty(nodes)) fail(`multiple definition of template ${JSON.stringify(name)}`);
  }

  function pipeline(scope: Scope, where: string, end: 'close' | ')'): Pipeline {
    const { variables, isAssignment } = declarations(scope, where);
    const commands: Command[] = [];
    while (peekPastSpace().type !== end) commands.push(command(scope, where));
    at++;
    if (commands.length === 0) fail(`missing value for ${where}`);
    for (const [first] of commands.slice(1)) {
      if (first.type === 'constant' || first.type === 'dot' || first.type === 'nil') {
        fail('non executable command in a later stage of a pipeline');
      }
    }
    return { variables, isAssignment, commands };
  }

  function declarations(scope: Scope, where: string): Pick<Pipeline, 'variables' | 'isAssignment'> {
    const variables: string[] = [];
    for (;;) {
      const variable = peekPastSpace();
      if (variable.type !== 'variable') break;
      const start = at++;
      const { type } = peekPastSpace();
      const isLast = type === 'assign' || type === 'declare';
      if (!isLast && type !== ',') {
        at = start;
        break;
      }
      at++;
      variables.push(variable.text);
      scope.variables.push(variable.text);
      if (isLast) return { variables, isAssignment: type === 'assign' };
      if (where !== 'range' || variables.length > 1) fail(`too many declarations in ${where}`);
      if (!['variable', 'close', ')'].includes(peekPastSpace().type)) fail('range can only initialize variables');
    }
    return { variables, isAssignment: false };
  }

  function command(scope: Scope, where: string): Command {
    const first = operand(scope) ?? unexpected(peek(), where);
    const operands: [Operand, ...Operand[]] = [first];
    for (;;) {
      checkDeadline();
      const { type } = peek();
      if (type === 'pipe') {
        at++;
        return operands;
      }
      if (type === 'close' || type === ')') return operands;
      if (type !== 'space') return unexpected(peek(), 'operand');
      peekPastSpace();
      const following = operand(scope);
      if (following !== undefined) operands.push(following);
    }
  }

  /** A term and the fields after it, without a blank between. */
  function operand(scope: Scope): Operand | undefined {
    const found = term(scope);
    if (found === undefined || peek().type !== 'field') return found;
    const names: string[] = [];
    for (; peek().type === 'field'; at++) names.push(peek().text.slice(1));
    switch (found.type) {
      case 'field':
      case 'variable':
        return { ...found, names: [...found.names, ...names] };
      case 'constant':
      case 'dot':
      case 'nil':
        return fail('unexpected . after a term');
      default:
        return { type: 'chain', operand: found, names };
    }
  }

  function term(scope: Scope): Operand | undefined {
    const { type, text: spelling } = peekPastSpace();
    at++;
    switch (type) {
      case 'identifier':
        if (!functions.has(spelling)) fail(`function ${JSON.stringify(spelling)} not defined`);
        return { type: 'function', name: spelling };
      case 'dot':
      case 'nil':
        return { type };
      case 'field':
        return { type, names: [spelling.slice(1)] };
      case 'variable':
        if (!scope.variables.includes(spelling)) fail(`undefined variable ${JSON.stringify(spelling)}`);
        return { type, name: spelling, names: [] };
      case 'boolean':
        return { type: 'constant', value: spelling === 'true' };
      case 'number':
        return { type: 'constant', value: numberConstant(spelling) };
      case 'character':
        return { type: 'constant', value: characterCode(spelling) };
      case 'string':
        return { type: 'constant', value: unquote(spelling) };
      case '(':
        return { type: 'pipeline', pipeline: nested(() => pipeline(scope, 'parenthesized pipeline', ')')) };
      default:
        at--;
        return undefined;
    }
  }

  const { nodes } = block({ variables: ['$'], ranges: 0 }, true);
  add(MAIN, nodes);
  return { nodes: named.get(MAIN) ?? [], named };
}

const isEmpty = (nodes: readonly TemplateNode[]): boolean =>
  nodes.every((node) => node.type === 'text' && /^\s*$/.test(node.text));
