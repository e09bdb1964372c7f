/** An OpenAI-compatible server on loopback that answers by a script: for tests, in place of a big model. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ScriptedMessage {
  role: string;
  content: string;
}

/** One answer: text, or the call of a tool, or both. */
export interface ScriptedAnswer {
  text?: string;
  tool?: string;
  arguments?: unknown;
  /** The call as text in the answer instead, as servers without a parser for it pass it on. */
  asText?: true;
}

/** @param step how many assistant messages are in the conversation since the user's last one */
export type Script = (messages: readonly ScriptedMessage[], step: number) => ScriptedAnswer;

export interface ScriptedEndpoint {
  /** To be set as the endpoint's URL. */
  readonly url: string;
  readonly requests: { messages: ScriptedMessage[]; authorization: string | undefined; tools: string[] }[];
  close(): Promise<void>;
}

export async function startScriptedEndpoint(script: Script): Promise<ScriptedEndpoint> {
  const requests: ScriptedEndpoint['requests'] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')));
    request.on('end', () => {
      const { messages, tools = [] } = JSON.parse(body) as { messages: ScriptedMessage[]; tools?: { function: { name: string } }[] };
      requests.push({ messages, authorization: request.headers.authorization, tools: tools.map((tool) => tool.function.name) });
      const asked = messages.findLastIndex((message) => message.role === 'user');
      const answer = script(messages, messages.slice(asked + 1).filter((message) => message.role === 'assistant').length);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const delta of deltas(answer)) response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`);
      response.end(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\ndata: [DONE]\n\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** In small pieces, as real servers stream. */
function* deltas({ text = '', tool, arguments: args, asText }: ScriptedAnswer): Generator<object> {
  const called = tool === undefined ? '' : typeof args === 'string' ? args : JSON.stringify(args ?? {});
  const written = asText ? `${text}\n<tool_call>\n{"name": ${JSON.stringify(tool)}, "arguments": ${called}}\n</tool_call>` : text;
  for (const piece of written.match(/[\s\S]{1,7}/g) ?? []) yield { content: piece };
  if (tool === undefined || asText) return;
  yield { tool_calls: [{ index: 0, id: `call_${tool}`, type: 'function', function: { name: tool, arguments: '' } }] };
  for (const piece of called.match(/[\s\S]{1,9}/g) ?? []) yield { tool_calls: [{ index: 0, function: { arguments: piece } }] };
}
