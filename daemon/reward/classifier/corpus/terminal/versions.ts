/** git on repositories made for the run. */
import { names, project, snake, thing, type Scenario, type Tool } from './scenario.ts';
import type { Random } from '../random.ts';

const INIT = ['git init -q -b main .', 'git config user.email dev@example.org', 'git config user.name Dev'];
const SUBJECTS = ['fix failing test', 'add error handling', 'update readme', 'remove dead code', 'handle timeouts', 'bump version', 'revert "add cache"', 'make build green', 'first commit', 'rename module', 'crash on empty input fixed'];

/** A repository with a few commits. */
function history(random: Random): { files: Record<string, string>; setup: string[]; file: string } {
  const files: Record<string, string> = {};
  for (const name of names(random, random.int(1, 4), thing)) files[`src/${name}.${random.pick(['py', 'js', 'rs', 'c'])}`] = `# ${snake(random)}\nvalue = ${random.int(1, 99)}\nraise Error\n`;
  const file = Object.keys(files)[0] ?? '';
  const setup = [...INIT, 'git add -A', `git commit -qm '${random.pick(SUBJECTS).replaceAll("'", '')}'`];
  for (let i = random.int(0, 3); i > 0; i--) setup.push(`echo 'line ${random.int(1, 999)}' >> ${file}`, `git commit -qam '${random.pick(SUBJECTS)}'`);
  return { files, setup, file };
}

/** Two branches that change the same line. */
function divergence(random: Random): { files: Record<string, string>; setup: string[]; branch: string } {
  const { files, setup, file } = history(random);
  const branch = `${random.pick(['feature', 'fix', 'dev'])}/${thing(random)}`;
  return { files, branch, setup: [...setup, `git checkout -qb ${branch}`, `sed -i '1s/.*/theirs ${random.int(1, 99)}/' ${file}`, `git commit -qam 'their ${thing(random)}'`, 'git checkout -q main', `sed -i '1s/.*/ours ${random.int(1, 99)}/' ${file}`, `git commit -qam 'our ${thing(random)}'`] };
}

function conflict(random: Random): Scenario {
  const { files, setup, branch } = divergence(random);
  return { files, setup, command: random.pick([`git merge ${branch}`, `git rebase ${branch}`, `git cherry-pick ${branch}`]), label: 'failed', exit: 'nonzero' };
}

function goodMerge(random: Random): Scenario {
  const { files, setup } = history(random);
  const branch = `topic-${thing(random)}`;
  const more = [`git checkout -qb ${branch}`, `echo new > ${snake(random)}.txt`, 'git add -A', `git commit -qm '${random.pick(SUBJECTS)}'`, 'git checkout -q main'];
  if (random.chance(0.5)) more.push('echo other > other.txt', 'git add -A', "git commit -qm 'other'");
  return { files, setup: [...setup, ...more], command: `git merge --no-edit ${branch}`, label: 'worked', exit: 'zero' };
}

function push(random: Random): Scenario {
  const { files, setup } = history(random);
  const remote = `../${project(random)}-remote.git`;
  const base = [...setup, `rm -rf ${remote}`, `git init -q --bare -b main ${remote}`, `git remote add origin ${remote}`];
  if (random.chance(0.45)) return { files, setup: base, command: random.pick(['git push -u origin main', 'git push origin main']), label: 'worked', exit: 'zero' };
  if (random.chance(0.5)) {
    const clone = `../${project(random)}-clone`;
    return { files, setup: [...base, 'git push -q origin main', `rm -rf ${clone}`, `git clone -q ${remote} ${clone}`, `cd ${clone} && git config user.email a@example.org && git config user.name A && echo x > x && git add -A && git commit -qm x && git push -q`, 'echo y > y', 'git add -A', 'git commit -qm y'], command: 'git push origin main', label: 'failed', exit: 'nonzero' };
  }
  return random.pick([
    { files, setup: base, command: `git push origin ${snake(random)}`, label: 'failed', exit: 'nonzero' } as const,
    { files, setup, command: 'git push', label: 'failed', exit: 'nonzero' } as const,
    { files, setup, command: `git push ../no-such-${thing(random)}.git main`, label: 'failed', exit: 'nonzero' } as const,
  ]);
}

function gitFails(random: Random): Scenario {
  const { files, setup, file } = history(random);
  const command = random.pick([`git checkout ${snake(random)}`, `git show ${random.int(1000000, 9999999)}abc`, `git add ${snake(random)}.txt`, 'git stash pop', `git branch -d ${thing(random)}-x`, `git revert ${thing(random)}`, 'git rebase --continue', 'git pull', 'git cherry-pick --abort', `git rm ${snake(random)}.c`, `git ${random.pick(['comit', 'statsu', 'psuh', 'brnach'])}`, `git apply ${thing(random)}.patch`, `git am ${thing(random)}.patch`, `git clone ../missing-${thing(random)}`, `git tag -d v${random.int(1, 9)}`, `echo dirty >> ${file} && git rebase main~1`, 'git commit --nope']);
  return { files, setup, command, label: 'failed', exit: 'nonzero' };
}

function gitInforms(random: Random): Scenario {
  const { files, setup, file } = history(random);
  const dirt = random.pick([[], [`echo changed >> ${file}`], ['echo new > untracked.txt'], [`echo changed >> ${file}`, 'git add -A']]);
  const command = random.pick(['git status', 'git status -sb', 'git log', 'git log --oneline', 'git diff', 'git diff --stat HEAD', 'git branch -a', `git show HEAD`, `git blame ${file}`, 'git remote -v', 'git stash list', 'git log -p -1', 'git ls-files', 'git rev-parse HEAD', 'git config --list --local', 'git grep -n Error', `git log --grep=fail --oneline`]);
  return { files, setup: [...setup, ...dirt], command, label: 'neutral', exit: 'any' };
}

function gitActs(random: Random): Scenario {
  const { files, setup, file } = history(random);
  const subject = random.pick(SUBJECTS);
  const change = [`echo more ${random.int(1, 99)} >> ${file}`, 'git add -A'];
  return random.pick<Scenario>([
    { files, setup: [...setup, ...change], command: `git commit -m '${subject}'`, label: 'worked', exit: 'zero' },
    { files, setup: [...setup, ...change, "git commit -qm 'x y'"], command: 'git revert --no-edit HEAD', label: 'failed', exit: 'zero' },
    { files, setup: [...setup, ...change], command: `git reset --hard HEAD`, label: 'failed', exit: 'zero' },
    { files, setup: [...setup, ...change], command: 'git stash', label: 'neutral', exit: 'zero' },
    { files, setup, command: `git checkout -b ${snake(random)}`, label: 'neutral', exit: 'zero' },
    { files, setup, command: "git commit -m 'nothing'", label: 'neutral', exit: 'nonzero' },
    { files, setup, command: `git tag v${random.int(1, 9)}.0`, label: 'neutral', exit: 'zero' },
  ]);
}

export const VERSIONS: Tool[] = [
  { family: 'git', runs: 45, make: conflict },
  { family: 'git', runs: 45, make: goodMerge },
  { family: 'git', runs: 60, make: push },
  { family: 'git', runs: 60, make: gitFails },
  { family: 'git', runs: 70, make: gitInforms },
  { family: 'git', runs: 60, make: gitActs },
];
