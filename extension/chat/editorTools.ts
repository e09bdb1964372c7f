// What the agent's tools need of the editor: its problems, and the tools that other extensions and MCP servers lend it.
import path from 'node:path';
import * as vscode from 'vscode';
import type { ToolSpec } from '../../protocol/agent.ts';

const MOST_PROBLEMS = 60;
/** Names that a model's API takes. */
const NAME = /^[\w-]{1,64}$/;
const SEVERITY = ['error', 'warning', 'information', 'hint'];

export interface ToolAnswer {
  readonly text: string;
  readonly failed: boolean;
}

/** The tools that are registered with the editor, for a model to read. */
export function lentTools(): ToolSpec[] {
  return vscode.lm.tools
    .filter(({ name }) => NAME.test(name))
    .map(({ name, description, inputSchema }) => ({ name, description, parameters: (inputSchema as Record<string, unknown> | undefined) ?? { type: 'object', properties: {} } }));
}

/** @param token  of the chat request, so that the editor shows and confirms the invocation there */
export async function invokeTool(folder: vscode.WorkspaceFolder, tool: string, input: Record<string, unknown>, token: vscode.ChatParticipantToolToken | undefined, cancelled: vscode.CancellationToken): Promise<ToolAnswer> {
  if (tool === 'diagnostics') return { text: diagnostics(folder, typeof input['path'] === 'string' ? input['path'] : undefined), failed: false };
  try {
    const { content } = await vscode.lm.invokeTool(tool, { input, toolInvocationToken: token }, cancelled);
    return { text: content.map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : '[not text]')).join('\n'), failed: false };
  } catch (error) {
    return { text: error instanceof Error ? error.message : String(error), failed: true };
  }
}

/** The editor's problems, worst first. */
export function diagnostics(folder: vscode.WorkspaceFolder, file?: string): string {
  const wanted = file === undefined ? undefined : path.resolve(folder.uri.fsPath, file);
  const problems = vscode.languages
    .getDiagnostics()
    .filter(([uri]) => uri.scheme === 'file' && (wanted === undefined ? uri.path.startsWith(`${folder.uri.path}/`) : uri.fsPath === wanted))
    .flatMap(([uri, list]) => list.map((each) => ({ uri, each })))
    .sort((a, b) => a.each.severity - b.each.severity);
  if (problems.length === 0) return 'The editor shows no problems.';
  const lines = problems.slice(0, MOST_PROBLEMS).map(({ uri, each }) => `${vscode.workspace.asRelativePath(uri, false)}:${each.range.start.line + 1}:${each.range.start.character + 1} ${SEVERITY[each.severity] ?? 'problem'}: ${each.message}${each.source === undefined ? '' : ` (${each.source})`}`);
  return lines.join('\n') + (problems.length > MOST_PROBLEMS ? `\n[${problems.length - MOST_PROBLEMS} more]` : '');
}
