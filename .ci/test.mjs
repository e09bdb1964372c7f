// npm test: type check and lint, the suites, then the journeys in the real editor. The editor is fetched and compiled
// meanwhile, below everything else in priority; what fails there is done and told again when the editor's turn comes.
import { spawn } from 'node:child_process';

/** @returns the exit code */
function run(command, args, stdio = 'inherit') {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio });
    child.once('error', () => resolve(1));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

async function all() {
  const prepared = run('nice', ['-n', '19', 'npm', 'run', '--silent', 'test:editor', '--', '--prepare'], 'ignore');
  const checks = await Promise.all(['typecheck', 'lint'].map((script) => run('npm', ['run', '--silent', script])));
  if (checks.some((code) => code !== 0)) return 1;
  const suites = await run('npx', ['vitest', 'run']);
  if (suites !== 0) return suites;
  await prepared;
  return run('npm', ['run', '--silent', 'test:editor']);
}

process.exit(await all());
