// The licences of everything in the VSIX that is not ours: what the source maps of the bundles name, and
// the packages beside them.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const BUNDLES = ['extension', 'hindsight', 'engine'];

/** @param {string[]} beside names of the packages that are not bundled */
export function notices(root, beside) {
  const names = new Set(beside);
  for (const bundle of BUNDLES) {
    const { sources } = JSON.parse(readFileSync(path.join(root, 'dist', `${bundle}.js.map`), 'utf8'));
    for (const source of sources) {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1];
      if (name !== undefined) names.add(name);
    }
  }
  return [...names].sort().map((name) => notice(path.join(root, 'node_modules', name), name)).join(`\n\n${'-'.repeat(80)}\n\n`);
}

function notice(folder, name) {
  if (!existsSync(folder)) return name;
  const { version, license } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)([.-].*)?$/i.test(file));
  return [`${name} ${version} (${license})`, ...files.map((file) => readFileSync(path.join(folder, file), 'utf8').trim())].join('\n\n');
}
