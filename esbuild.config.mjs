// Bundles the two programs: the editor's extension and the daemon with its command line.
import { build } from 'esbuild';
import { existsSync } from 'node:fs';

/** Native addons and packages with assets of their own stay in node_modules. */
const external = ['vscode', 'libsql', 'node-pty', 'onnxruntime-node', '*.node'];
const common = { bundle: true, platform: 'node', target: 'node20', format: 'cjs', sourcemap: true, logLevel: 'warning', external };

const programs = [
  { in: 'daemon/main.ts', out: 'dist/hindsight.js', banner: { js: '#!/usr/bin/env node' } },
  { in: 'extension/extension.ts', out: 'dist/extension.js' },
];
for (const program of programs) {
  if (!existsSync(program.in)) throw new Error(`${program.in} is missing`);
  await build({ ...common, entryPoints: [program.in], outfile: program.out, ...(program.banner ? { banner: program.banner } : {}) });
}
