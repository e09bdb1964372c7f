/** JSON Schema and reference page of the whole protocol, from its one definition. */
import { z } from 'zod';
import { agentMessages } from './agent.ts';
import { dataMessages } from './data.ts';
import { editorMessages } from './editor.ts';
import { engineMessages } from './engine.ts';
import { catalogue } from './errors.ts';
import { daemonHello, editorHello, PROTOCOL } from './handshake.ts';
import { learningMessages } from './learning.ts';
import type { Message } from './message.ts';
import { remoteMessages } from './remote.ts';
import { testMessages } from './tests.ts';

export const allMessages: readonly Message[] = [...editorMessages, ...dataMessages, ...learningMessages, ...agentMessages, ...testMessages, ...remoteMessages, ...engineMessages];

/** One JSON Schema document: `messages[method].params|result`, and the two hellos. */
export function protocolSchema(): object {
  const schema = (type: z.ZodType): object => z.toJSONSchema(type, { io: 'input' });
  return {
    protocol: PROTOCOL,
    handshake: { editorHello: schema(editorHello), daemonHello: schema(daemonHello) },
    messages: Object.fromEntries(
      allMessages.map((m) => [m.method, { kind: m.kind, direction: m.direction, doc: m.doc, params: schema(m.params), ...(m.kind === 'request' ? { result: schema(m.result) } : {}) }]),
    ),
    errors: catalogue(),
  };
}

/** Markdown page for people. */
export function protocolReference(): string {
  const json = (value: unknown): string => `\`\`\`json\n${JSON.stringify(value, null, 1)}\n\`\`\``;
  const message = (m: Message): string =>
    [`### \`${m.method}\``, `${m.direction}, ${m.kind}. ${m.doc}`, 'Params:', json(m.example.params), ...(m.kind === 'request' ? ['Result:', json(m.example.result)] : [])].join('\n\n');
  const errors = catalogue().map((e) => `| \`${e.name}\` | ${e.code} | ${e.what}. | ${e.remedy} |`);
  return [
    `# Protocol ${PROTOCOL.min}-${PROTOCOL.max}`,
    'Generated from `protocol/*.ts` by `protocol/reference.test.ts`; do not edit. Each example is a test.',
    '## Messages',
    ...allMessages.map(message),
    '## Errors',
    ['| name | code | what happened | remedy |', '|---|---|---|---|', ...errors].join('\n'),
    '',
  ].join('\n\n');
}
