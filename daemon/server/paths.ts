import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Path of a document as the prompt shows it: relative to the workspace where it is inside. */
export function pathIn(workspace: string, uri: string): string {
  if (!uri.startsWith('file:') || !workspace.startsWith('file:')) return uri;
  const path = relative(fileURLToPath(workspace), fileURLToPath(uri)).replaceAll('\\', '/');
  return path.startsWith('..') ? fileURLToPath(uri) : path;
}
