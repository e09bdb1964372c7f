/** Shell utilities: much of what a terminal shows is information, whatever its exit code. */
import { names, pascal, project, snake, testTitle, thing, type Scenario, type Tool } from './scenario.ts';
import type { Random } from '../random.ts';

const LOG = (random: Random): string =>
  Array.from({ length: random.int(3, 12) }, () => `2025-0${random.int(1, 9)}-1${random.int(0, 9)} 1${random.int(0, 9)}:${random.int(10, 59)}:${random.int(10, 59)} ${random.pick(['INFO', 'INFO', 'WARN', 'ERROR', 'DEBUG'])} ${random.pick(['server', 'worker', 'db'])}: ${random.pick(['started', 'connection refused', 'request failed with status 500', 'done', `${thing(random)} loaded`, 'timeout while waiting', 'retrying', 'all tests passed'])}`).join('\n') + '\n';

function sources(random: Random): Record<string, string> {
  const files: Record<string, string> = { 'README.md': `# ${project(random)}\n\nRun \`npm test\`. If it fails, see errors.md.\n`, 'server.log': LOG(random) };
  for (const name of names(random, random.int(2, 6), snake)) files[`src/${name}.py`] = `def ${name}(x):\n    # TODO: ${testTitle(random)}\n    if x is None:\n        raise ValueError("${thing(random)} failed")\n    return x\n`;
  return files;
}

function informs(random: Random): Scenario {
  const files = sources(random);
  const file = Object.keys(files)[random.int(1, Object.keys(files).length - 1)] ?? 'README.md';
  const command = random.pick([
    'ls', 'ls -la', 'ls -R src', `cat ${file}`, `head -5 ${file}`, 'tail -n 4 server.log', 'wc -l src/*.py', 'find . -name "*.py"', `grep -rn "raise" src`, `grep -rn "${thing(random)}" .`, `grep -c ERROR server.log`, `grep ERROR server.log`, 'pwd', 'du -sh src', `file ${file}`, 'echo $HOME', `stat ${file}`, 'env | grep -c PATH', 'which python3', 'uname -s', 'date', 'cat server.log | sort | uniq -c', 'df -h . | tail -1', `sed -n 1,3p ${file}`, 'ps -o comm= | head -3', `diff README.md ${file}`, 'history | tail -2', `awk '{print $1}' server.log`, `md5sum ${file}`, 'tree 2>/dev/null || ls src', 'printf "%s\\n" a b c', 'python3 --version', 'node --version', 'gcc --version', 'ls --help | head -20', 'git --version',
  ]);
  return { files, command, label: 'neutral', exit: 'any' };
}

function silent(random: Random): Scenario {
  const command = random.pick([`mkdir -p ${thing(random)}/${thing(random)}`, `touch ${snake(random)}.txt`, 'cp README.md copy.md', 'mv README.md docs.md', `rm README.md`, `grep -n "${snake(random)}_absent" README.md`, 'true', 'cd src', `export MODE=${thing(random)}`, 'chmod +x README.md', 'sleep 0.1', 'ln -s README.md link', 'test -f README.md', `find . -name "*.${thing(random)}"`, 'cmp README.md README.md', `sed -i s/a/b/ README.md`]);
  return { files: sources(random), command, label: 'neutral', exit: 'any' };
}

function fails(random: Random): Scenario {
  const name = snake(random);
  const command = random.pick([
    `cat ${name}.txt`, `cd ${name}`, `ls ${name}`, `./${name}.sh`, `${name}`, `${random.pick(['pyhton3', 'nmp', 'sl', 'grpe', 'gti', 'dokcer'])} ${thing(random)}`, `rm ${name}.txt`, 'mkdir src', `cp ${name} copy`, `mv ${name} other`, 'cat src', 'rmdir src', `chmod 644 ${name}`, `find ${name} -name x`, `head ${name}`, `tail ${name}`, `tar xf ${name}.tar.gz`, 'tar xzf README.md', `unzip README.md`, `gunzip README.md`, `source ${name}.sh`, `./README.md`, 'kill 999999', `ls --${thing(random)}`, `sed -x README.md`, 'sort --nope README.md', `touch ${name}/file`, 'rm src', `wc ${name}`, `diff ${name} README.md`, `patch -p1 < ${name}.patch`, 'if then', 'echo "unterminated', `bash -c 'for do'`, `wget http://localhost:9/${name}`,
  ]);
  return { files: sources(random), command: command.startsWith('if') || command.startsWith('echo "') ? `bash -c '${command}'` : command, label: 'failed', exit: 'nonzero' };
}

function denied(random: Random): Scenario {
  const name = `${thing(random)}.conf`;
  const inner = random.pick([`cat ${name}`, `echo x > ${name}`, `cp ${name} /tmp/copy-${thing(random)}`, `./${name}`, `ls private`, `touch private/${thing(random)}`, 'mkdir /opt/private-dir', `rm -f ${name}`, 'echo 1 > /proc/sysrq-trigger', `mv ${name} other`]);
  return { files: { [name]: 'secret\n', 'private/x': 'x\n' }, setup: [`chmod 600 ${name}`, 'chmod 700 private', 'chmod 755 .'], command: `su nobody -s /bin/sh -c '${inner}'`, label: 'failed', exit: 'nonzero' };
}

function killed(random: Random): Scenario {
  return random.pick<Scenario>([
    { files: {}, command: `timeout 0.${random.int(1, 3)} sleep 5`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: "bash -c 'kill -SEGV $$'", label: 'failed', exit: 'nonzero' },
    { files: {}, command: "bash -c 'echo running; kill -KILL $$'", label: 'failed', exit: 'nonzero' },
    { files: {}, command: `bash -c 'echo "listening on port ${random.int(3000, 9000)}"; echo "^C"; kill -INT $$'`, label: 'neutral', exit: 'any' },
    { files: {}, command: `bash -c 'echo "> watching ${thing(random)} for changes"; kill -TERM $$'`, label: 'neutral', exit: 'any' },
  ]);
}

function script(random: Random): Scenario {
  const ok = random.chance(0.5);
  const subject = thing(random);
  const lines = [`echo "Checking ${subject}..."`, `echo "Step 1/${random.int(2, 5)}: ${random.pick(['lint', 'build', 'format', 'types'])} ${random.pick(['ok', 'done', 'passed'])}"`];
  lines.push(
    ok
      ? random.pick([`echo "All ${random.int(3, 99)} checks passed"`, 'echo "✓ build completed successfully"', `echo "Deployed ${subject} to staging"`, 'echo "Done in 1.2s, 0 errors"', `echo "SUCCESS: ${subject} is up to date"`, 'echo "0 problems found"', 'echo "Migration complete."', `echo "✔ ${random.int(2, 40)} files formatted, no errors"`, 'echo "OK"', `echo "Published ${subject}@1.${random.int(0, 9)}.0"`])
      : random.pick([`echo "${random.int(1, 9)} of ${random.int(10, 20)} checks failed" >&2; exit 1`, 'echo "✗ build failed" >&2; exit 2', `echo "ERROR: could not deploy ${subject}" >&2; exit 1`, `echo "fatal: ${subject} is locked"; exit 3`, `cat ${subject}.missing`, `echo "FAILED (exit 1)"; exit 1`, `echo "✖ ${random.int(1, 9)} problems (${random.int(1, 5)} errors, 0 warnings)"; exit 1`, 'echo "Aborted."; exit 1', 'echo "rollback: migration did not apply"; exit 1']),
  );
  return { files: { 'run.sh': `set -e\n${lines.join('\n')}\n` }, command: random.pick(['bash run.sh', 'sh run.sh', 'sh ./run.sh --all']), label: ok ? 'worked' : 'failed', exit: ok ? 'zero' : 'nonzero' };
}

/** Output that talks of success or failure of something else: it was asked for, it says nothing. */
function quoted(random: Random): Scenario {
  const words = [`${pascal(random)}Error: ${thing(random)} failed`, 'Traceback (most recent call last):', `FAILED tests/test_${thing(random)}.py`, 'All tests passed', 'BUILD SUCCESSFUL', 'error: expected ;', '\\boxed{1}', '12 passed in 0.3s', 'npm ERR! code 1'];
  const files = { 'notes.txt': `${random.sample(words, 3).join('\n')}\n`, 'ci.md': `| job | result |\n| a | failed |\n| b | passed |\n` };
  const command = random.pick(['cat notes.txt', 'grep -n -i "error\\|fail\\|pass" notes.txt ci.md', 'cat ci.md notes.txt', 'head -2 notes.txt', 'less notes.txt | cat', 'sort notes.txt', 'nl notes.txt']);
  return { files, command, label: 'neutral', exit: 'any' };
}

export const SHELL: Tool[] = [
  { family: 'coreutils', runs: 150, make: informs },
  { family: 'coreutils', runs: 60, make: silent },
  { family: 'coreutils', runs: 150, make: fails },
  { family: 'permission', runs: 25, make: denied },
  { family: 'signals', runs: 25, make: killed },
  { family: 'script', runs: 140, make: script },
  { family: 'coreutils', runs: 50, make: quoted },
];
