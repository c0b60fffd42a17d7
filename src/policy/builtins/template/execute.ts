import { BuiltinError, checkChars, HaltError } from '../builtin.ts';
import { templateFunctions } from './functions.ts';
import { Float } from './literals.ts';
import type { Command, Operand, Pipeline, Template, TemplateNode } from './parse.ts';
import { Byte, entriesOf, isList, isNothing, isObject, isTrue, show, type TemplateValue, typeOf } from './values.ts';

/*
 * Execution of Go templates (https://pkg.go.dev/text/template). Keys that are not there are no error, as in OPA.
 */

type Variable = { readonly name: string; value: TemplateValue };

/** One template's execution: its variables, and how many templates it was called through. */
type Frame = { readonly variables: Variable[]; readonly depth: number };

type Signal = 'break' | 'continue' | undefined;

/** The argument that a pipeline hands on; there may be none. */
type Piped = { readonly value: TemplateValue } | undefined;

const MAX_TEMPLATE_DEPTH = 100;

function fail(message: string): never {
  throw new BuiltinError(`template: ${message}`);
}

/** Throws BuiltinError for what a template must not do, HaltError for too much text or time. */
export function executeTemplate(template: Template, data: TemplateValue, checkDeadline: () => void): string {
  const parts: string[] = [];
  let chars = 0;

  function write(text: string): void {
    chars += text.length;
    checkChars(chars);
    parts.push(text);
  }

  function walkAll(frame: Frame, dot: TemplateValue, nodes: readonly TemplateNode[]): Signal {
    for (const node of nodes) {
      const signal = walk(frame, dot, node);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  function walk(frame: Frame, dot: TemplateValue, node: TemplateNode): Signal {
    checkDeadline();
    switch (node.type) {
      case 'text':
        write(node.text);
        return undefined;
      case 'action': {
        const value = evaluate(frame, dot, node.pipeline);
        if (node.pipeline.variables.length === 0) write(isNothing(value) ? '<no value>' : show(value));
        return undefined;
      }
      case 'break':
      case 'continue':
        return node.type;
      case 'template':
        callTemplate(frame, dot, node.name, node.pipeline);
        return undefined;
      case 'range':
        return scoped(frame, () => walkRange(frame, dot, node));
      default:
        return scoped(frame, () => {
          const value = evaluate(frame, dot, node.pipeline);
          if (isTrue(value)) return walkAll(frame, node.type === 'with' ? value : dot, node.body);
          return walkAll(frame, dot, node.otherwise ?? []);
        });
    }
  }

  /** Variables of a block end with it. */
  function scoped(frame: Frame, run: () => Signal): Signal {
    const { length } = frame.variables;
    const signal = run();
    frame.variables.length = length;
    return signal;
  }

  function walkRange(frame: Frame, dot: TemplateValue, node: Extract<TemplateNode, { body: unknown }>): Signal {
    const value = evaluate(frame, dot, node.pipeline);
    const { variables, isAssignment } = node.pipeline;
    let isEmpty = true;
    for (const [index, item] of itemsOf(value, variables.length)) {
      isEmpty = false;
      checkDeadline();
      const values = variables.length === 2 ? [index, item] : [item];
      const { length } = frame.variables;
      for (const [place, name] of variables.entries()) {
        if (isAssignment) assign(frame, name, values[place]);
        else (frame.variables[length - variables.length + place] as Variable).value = values[place];
      }
      const signal = walkAll(frame, item, node.body);
      frame.variables.length = length;
      if (signal === 'break') break;
    }
    return isEmpty ? walkAll(frame, dot, node.otherwise ?? []) : undefined;
  }

  function callTemplate(frame: Frame, dot: TemplateValue, name: string, pipeline: Pipeline | undefined): void {
    const nodes = template.named.get(name) ?? fail(`template ${JSON.stringify(name)} not defined`);
    if (frame.depth >= MAX_TEMPLATE_DEPTH)
      throw new HaltError('eval_limit_error', 'templates call one another too deep');
    const value = pipeline === undefined ? undefined : evaluate(frame, dot, pipeline);
    walkAll({ variables: [{ name: '$', value }], depth: frame.depth + 1 }, value, nodes);
  }

  function evaluate(frame: Frame, dot: TemplateValue, pipeline: Pipeline): TemplateValue {
    let piped: Piped;
    for (const command of pipeline.commands) {
      checkDeadline();
      piped = { value: evaluateCommand(frame, dot, command, piped) ?? undefined };
    }
    const value = piped?.value;
    for (const name of pipeline.variables) {
      if (pipeline.isAssignment) assign(frame, name, value);
      else frame.variables.push({ name, value });
    }
    return value;
  }

  function evaluateCommand(frame: Frame, dot: TemplateValue, command: Command, piped: Piped): TemplateValue {
    const [first, ...operands] = command;
    if (first.type === 'function') return callFunction(frame, dot, first.name, operands, piped);
    if (operands.length > 0 || piped !== undefined) return fail(`can't give arguments to what is no function`);
    if (first.type === 'nil') return fail('nil is not a command');
    return evaluateOperand(frame, dot, first);
  }

  function evaluateOperand(frame: Frame, dot: TemplateValue, operand: Operand): TemplateValue {
    switch (operand.type) {
      case 'dot':
        return dot;
      case 'nil':
        return undefined;
      case 'constant':
        return operand.value;
      case 'field':
        return fieldsOf(dot, operand.names);
      case 'variable':
        return fieldsOf(variable(frame, operand.name).value, operand.names);
      case 'function':
        return callFunction(frame, dot, operand.name, [], undefined);
      case 'pipeline':
        return evaluate(frame, dot, operand.pipeline);
      default:
        return fieldsOf(evaluateOperand(frame, dot, operand.operand), operand.names);
    }
  }

  function callFunction(
    frame: Frame,
    dot: TemplateValue,
    name: string,
    operands: readonly Operand[],
    piped: Piped,
  ): TemplateValue {
    const called = templateFunctions.get(name);
    if (called === undefined) return fail(`${JSON.stringify(name)} is not a defined function`);
    const count = operands.length + (piped === undefined ? 0 : 1);
    if (count < called.least || count > called.most) return fail(`wrong number of args for ${name}`);
    if (name === 'and' || name === 'or') {
      let value: TemplateValue;
      for (const operand of operands) {
        value = evaluateOperand(frame, dot, operand);
        if (isTrue(value) === (name === 'or')) return value;
      }
      return piped === undefined ? value : piped.value;
    }
    const values = operands.map((operand) => evaluateOperand(frame, dot, operand));
    return called.run(piped === undefined ? values : [...values, piped.value]);
  }

  walkAll({ variables: [{ name: '$', value: data }], depth: 0 }, data, template.nodes);
  return parts.join('');
}

function variable(frame: Frame, name: string): Variable {
  return frame.variables.findLast((known) => known.name === name) ?? fail(`undefined variable: ${name}`);
}

function assign(frame: Frame, name: string, value: TemplateValue): void {
  variable(frame, name).value = value;
}

function fieldsOf(value: TemplateValue, names: readonly string[]): TemplateValue {
  return names.reduce(fieldOf, value);
}

/** A member. Nothing has no members, which is no error; null has, and it is one. */
function fieldOf(value: TemplateValue, name: string): TemplateValue {
  if (value === undefined) return undefined;
  if (value === null) return fail(`nil pointer evaluating interface {}.${name}`);
  if (!isObject(value)) return fail(`can't evaluate field ${name} in type ${typeOf(value)}`);
  return value.get(name);
}

/** Indexes or keys with their items; up to an integer there are only items. Throws BuiltinError. */
function* itemsOf(value: TemplateValue, variables: number): Generator<readonly [TemplateValue, TemplateValue]> {
  if (isNothing(value)) return;
  if (isList(value)) {
    for (const [index, item] of value.entries()) yield [BigInt(index), item];
  } else if (isObject(value)) yield* entriesOf(value);
  else if (typeof value === 'bigint' || value instanceof Byte) {
    if (variables > 1) fail("can't iterate over a number with more than one variable");
    const end = typeof value === 'bigint' ? value : BigInt(value.value);
    for (let item = 0n; item < end; item++) yield [undefined, value instanceof Byte ? new Byte(Number(item)) : item];
  } else fail(`range can't iterate over a ${value instanceof Float ? 'float64' : typeOf(value)}`);
}
