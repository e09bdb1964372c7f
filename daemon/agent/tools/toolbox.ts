/** The tools of one task: the agent's own, and those that the editor lends. Checks every call before it runs. */
import { z } from 'zod';
import type { ToolSpec } from '../../../protocol/agent.ts';
import { toHindsightError } from '../../../protocol/errors.ts';
import type { Observation, ToolCall } from '../../journal/records.ts';
import { BROWSER_TOOLS } from './browser.ts';
import { runCommandTool, runTestsTool } from './commands.ts';
import { editFileTool } from './editFile.ts';
import { listFilesTool, readFileTool, searchTool } from './files.ts';
import { gitTool } from './git.ts';
import { failed, tool } from './tool.ts';
import type { Tool, ToolContext, ToolResult } from './tool.ts';

const RESULT_CHARS = 24_000;
/** The same call again and again is a loop. */
const REPEATS = 3;

const diagnosticsTool = tool({
  name: 'diagnostics',
  description: 'The problems that the editor shows, of one file or of the workspace.',
  parameters: z.object({ path: z.string().optional() }),
  title: ({ path }) => `Problems ${path === undefined ? 'in the workspace' : `in ${path}`}`,
  run: (args, context) => context.invokeEditor('diagnostics', args),
});

export const OWN_TOOLS: readonly Tool[] = [readFileTool, listFilesTool, searchTool, editFileTool, runCommandTool, runTestsTool, gitTool, diagnosticsTool, ...BROWSER_TOOLS];

export interface Ran {
  /** For the model. */
  text: string;
  observations: Observation[];
  summary: string;
  state: 'done' | 'failed' | 'refused';
}

export class Toolbox {
  readonly #own: ReadonlyMap<string, Tool>;
  #last = '';
  #repeated = 0;

  /** @param lent tools of the editor; one with the name of an own tool is left out */
  constructor(
    private readonly lent: readonly ToolSpec[],
    own: readonly Tool[] = OWN_TOOLS,
  ) {
    this.#own = new Map(own.map((one) => [one.name, one]));
  }

  get specs(): ToolSpec[] {
    const own = [...this.#own.values()].map(({ name, description, parameters }) => ({ name, description, parameters: schemaOf(parameters) }));
    return [...own, ...this.lent.filter((spec) => !this.#own.has(spec.name))];
  }

  title(call: ToolCall): string {
    const own = this.#own.get(call.tool);
    const args = own?.parameters.safeParse(call.arguments);
    return own && args?.success ? own.title(args.data) : call.tool === '' ? 'A call that is none' : call.tool;
  }

  /** Never throws: what goes wrong is the call's result. */
  async run(call: ToolCall, context: ToolContext): Promise<Ran> {
    const result = await this.#result(call, context);
    const text = result.text.length <= RESULT_CHARS ? result.text : `${result.text.slice(0, RESULT_CHARS)}\n[cut]`;
    const observations = result.observations ?? [{ kind: 'result', tool: call.tool, text, failed: result.failed }];
    const refused = observations.some((one) => one.kind === 'terminal' && one.ended === 'refused');
    return { text, observations, summary: result.summary ?? '', state: refused ? 'refused' : result.failed ? 'failed' : 'done' };
  }

  async #result(call: ToolCall, context: ToolContext): Promise<ToolResult> {
    const key = JSON.stringify([call.tool, call.arguments]);
    this.#repeated = key === this.#last ? this.#repeated + 1 : 1;
    this.#last = key;
    if (this.#repeated >= REPEATS) return failed('This is the same call again, and its answer is the same. Do something else, or reply.');
    try {
      const own = this.#own.get(call.tool);
      if (own) return await runOwn(own, call, context);
      if (!this.lent.some((spec) => spec.name === call.tool)) return failed(`There is no tool ${call.tool || '(without a name)'}. The tools are ${this.specs.map((spec) => spec.name).join(', ')}.`);
      if (call.arguments === null) return failed(`The arguments of ${call.tool} are no JSON object.`);
      return await context.invokeEditor(call.tool, call.arguments);
    } catch (thrown) {
      return failed(toHindsightError(thrown).message);
    }
  }
}

async function runOwn(own: Tool, call: ToolCall, context: ToolContext): Promise<ToolResult> {
  const args = own.parameters.safeParse(call.arguments);
  if (args.success) return own.run(args.data, context);
  const issue = args.error.issues[0];
  return failed(`The arguments of ${own.name} do not fit: ${issue === undefined ? 'unknown' : `${issue.path.join('.') || 'arguments'}: ${issue.message}`}.`);
}

function schemaOf(parameters: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(parameters, { io: 'input' }) as Record<string, unknown>;
  return schema;
}
