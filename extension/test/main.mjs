// Bundles the harness (TypeScript, on a Node that cannot run it) and starts it.
import { build } from 'esbuild';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const outfile = path.join(root, '.cache/editor/run.mjs');
await build({
  absWorkingDir: root,
  entryPoints: ['extension/test/run.ts'],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: 'inline',
  logLevel: 'warning',
});
const { main } = await import(pathToFileURL(outfile).href);
try {
  process.exitCode = await main(root, process.argv.slice(2));
} catch (error) {
  const cause = error.cause === undefined ? '' : `\n${error.cause.message ?? error.cause}`;
  process.stderr.write(`[editor] ${error.message}${cause}\n`);
  process.exitCode = 1;
}
