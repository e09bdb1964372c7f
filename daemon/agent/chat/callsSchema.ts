/** The schema of one call of any of some tools, in the part of JSON Schema that the engine keeps
 *  (native/src/serve/grammar.h). What it could not keep is left out of the tool, by name. */
import type { ToolSpec } from '../../../protocol/agent.ts';

type Schema = Record<string, unknown>;

export function callsSchema(tools: readonly ToolSpec[]): Schema {
  const calls = tools.map(({ name, parameters }) => ({
    type: 'object',
    properties: { name: { const: name }, arguments: keptPart(parameters) ?? { type: 'object', properties: {}, additionalProperties: false } },
    required: ['name', 'arguments'],
    additionalProperties: false,
  }));
  return calls.length === 1 && calls[0] ? calls[0] : { anyOf: calls };
}

/** @returns null for a value that cannot be described */
export function keptPart(schema: unknown): Schema | null {
  if (!isRecord(schema)) return null;
  if (Array.isArray(schema['enum'])) return { enum: schema['enum'].filter(isScalar) };
  if ('const' in schema) return isScalar(schema['const']) ? { const: schema['const'] } : null;
  const alternatives = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(alternatives)) {
    const kept = alternatives.map(keptPart).filter((one) => one !== null);
    return kept.length === 0 ? null : { anyOf: kept };
  }
  return ofType(schema, schema['type']);
}

function ofType(schema: Schema, type: unknown): Schema | null {
  switch (type) {
    case 'string':
      return { type, ...lengths(schema, 'minLength', 'maxLength') };
    case 'integer':
    case 'number':
      return { type, ...(schema['minimum'] === 0 || schema['minimum'] === 1 ? { minimum: schema['minimum'] } : {}) };
    case 'boolean':
    case 'null':
      return { type };
    case 'array': {
      const items = keptPart(schema['items']);
      return items === null ? null : { type, items, ...lengths(schema, 'minItems', 'maxItems') };
    }
    case 'object':
      return objectOf(schema);
    default:
      return null;
  }
}

function objectOf(schema: Schema): Schema {
  const properties = isRecord(schema['properties']) ? schema['properties'] : {};
  const kept = Object.entries(properties).flatMap(([name, value]) => {
    const part = keptPart(value);
    return part === null ? [] : [[name, part] as const];
  });
  const names = new Set(kept.map(([name]) => name));
  const required = Array.isArray(schema['required']) ? schema['required'].filter((name): name is string => typeof name === 'string' && names.has(name)) : [];
  return { type: 'object', properties: Object.fromEntries(kept), required, additionalProperties: false };
}

function lengths(schema: Schema, ...names: string[]): Schema {
  return Object.fromEntries(names.filter((name) => typeof schema[name] === 'number').map((name) => [name, schema[name]]));
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function isRecord(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
