/**
 * Which files of a history are a developer's own code. A replay asks for completions only where a
 * person would have typed, so what a tool wrote, what was copied in and what is not code is left
 * out: vendored and built folders, lock files, generated and minified files, binaries, prose and
 * data, and texts over 200 kB.
 */
import { posix } from 'node:path';

const LANGUAGES: Record<string, string> = {
  ts: 'typescript', mts: 'typescript', cts: 'typescript', tsx: 'typescriptreact',
  js: 'javascript', mjs: 'javascript', cjs: 'javascript', jsx: 'javascriptreact',
  py: 'python', rs: 'rust', go: 'go', java: 'java', kt: 'kotlin', swift: 'swift', cs: 'csharp', rb: 'ruby', php: 'php', lua: 'lua',
  c: 'c', h: 'c', cc: 'cpp', cpp: 'cpp', cxx: 'cpp', hh: 'cpp', hpp: 'cpp', cu: 'cuda-cpp', cuh: 'cuda-cpp',
  sh: 'shellscript', css: 'css', scss: 'scss', vue: 'vue', svelte: 'svelte', sql: 'sql',
};

const FOREIGN_FOLDERS = new Set([
  'node_modules', 'bower_components', 'vendor', 'vendored', 'third_party', 'third-party', 'external',
  'dist', 'build', 'out', 'coverage', 'generated', '__generated__', '__snapshots__', '.yarn', '.cache', 'testdata', 'fixtures', '__fixtures__',
]);
const FOREIGN_FILES = /(\.min\.\w+|\.bundle\.\w+|\.generated\.\w+|[-.]lock(\.\w+)?|_pb2?\.\w+)$/;
const GENERATED = /@generated|do not edit|automatically generated|auto-generated/i;

const MAX_BYTES = 200_000;
/** Nobody types such a line: minified code, data or an embedded picture. */
const MAX_LINE = 500;

/** Language of a file by its name; null = not a developer's own code. */
export function languageOf(path: string): string | null {
  const folders = path.split('/').slice(0, -1);
  if (folders.some((folder) => FOREIGN_FOLDERS.has(folder))) return null;
  const name = posix.basename(path);
  if (FOREIGN_FILES.test(name)) return null;
  return LANGUAGES[posix.extname(name).slice(1).toLowerCase()] ?? null;
}

/** Whether a text could have been typed. */
export function isTyped(text: string): boolean {
  if (Buffer.byteLength(text) > MAX_BYTES || /[\0\ufffd]/.test(text)) return false;
  const lines = text.split('\n');
  return !GENERATED.test(lines.slice(0, 5).join('\n')) && lines.every((line) => line.length <= MAX_LINE);
}
