/** Build tools, package managers, interpreters and clients of services. */
import { camel, names, pascal, project, snake, thing, type Scenario, type Tool } from './scenario.ts';
import type { Random } from '../random.ts';

function make(random: Random): Scenario {
  const name = thing(random);
  const source = `#include <stdio.h>\nint main(void) { puts("${name}"); return 0; }\n`;
  const file = (recipe: string): string => `all: ${name}\n${name}: ${name}.c\n\t${recipe}\n\ncheck: ${name}\n\t./${name} && echo "PASS: ${name}"\n`;
  return random.pick<Scenario>([
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`), [`${name}.c`]: source }, command: 'make', label: 'worked', exit: 'zero' },
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`), [`${name}.c`]: source }, command: 'make check', label: 'worked', exit: 'zero' },
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`), [`${name}.c`]: source.replace(';', '') }, command: 'make', label: 'failed', exit: 'nonzero' },
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`) }, command: 'make', label: 'failed', exit: 'nonzero' },
    { files: { Makefile: file('false') , [`${name}.c`]: source }, command: 'make', label: 'failed', exit: 'nonzero' },
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`) }, command: `make ${snake(random)}`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: 'make', label: 'failed', exit: 'nonzero' },
    { files: { Makefile: `all:\n    echo ${name}\n` }, command: 'make', label: 'failed', exit: 'nonzero' },
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`), [`${name}.c`]: source }, setup: ['make'], command: 'make', label: 'neutral', exit: 'zero' },
    { files: { Makefile: file(`gcc -o ${name} ${name}.c`), [`${name}.c`]: source }, command: 'make -n', label: 'neutral', exit: 'zero' },
  ]);
}

function cmake(random: Random): Scenario {
  const name = project(random);
  const list = `cmake_minimum_required(VERSION 3.10)\nproject(${name} C)\nadd_executable(${name} main.c)\n`;
  const source = 'int main(void) { return 0; }\n';
  return random.pick<Scenario>([
    { files: { 'CMakeLists.txt': list, 'main.c': source }, command: 'cmake -S . -B build', label: 'worked', exit: 'zero' },
    { files: { 'CMakeLists.txt': list, 'main.c': source }, setup: ['cmake -S . -B build'], command: 'cmake --build build', label: 'worked', exit: 'zero' },
    { files: { 'CMakeLists.txt': list, 'main.c': source.replace(';', '') }, setup: ['cmake -S . -B build'], command: 'cmake --build build', label: 'failed', exit: 'nonzero' },
    { files: { 'CMakeLists.txt': list }, command: 'cmake -S . -B build', label: 'failed', exit: 'nonzero' },
    { files: { 'CMakeLists.txt': `${list}find_package(${pascal(random)} REQUIRED)\n`, 'main.c': source }, command: 'cmake -S . -B build', label: 'failed', exit: 'nonzero' },
    { files: { 'CMakeLists.txt': list.replace('add_exec', 'ad_exec'), 'main.c': source }, command: 'cmake -S . -B build', label: 'failed', exit: 'nonzero' },
    { files: {}, command: 'cmake .', label: 'failed', exit: 'nonzero' },
  ]);
}

function ninja(random: Random): Scenario {
  const name = thing(random);
  const file = (command: string): string => `rule step\n  command = ${command}\n  description = STEP $out\nbuild ${name}.o: step ${name}.c\nbuild ${name}: step ${name}.o\n`;
  return random.pick<Scenario>([
    { files: { 'build.ninja': file('cp $in $out'), [`${name}.c`]: 'x' }, command: 'ninja', label: 'worked', exit: 'zero' },
    { files: { 'build.ninja': file('false'), [`${name}.c`]: 'x' }, command: 'ninja', label: 'failed', exit: 'nonzero' },
    { files: { 'build.ninja': file('cp $in $out') }, command: 'ninja', label: 'failed', exit: 'nonzero' },
    { files: { 'build.ninja': file('cp $in $out'), [`${name}.c`]: 'x' }, setup: ['ninja'], command: 'ninja', label: 'neutral', exit: 'zero' },
    { files: {}, command: 'ninja', label: 'failed', exit: 'nonzero' },
  ]);
}

function maven(random: Random): Scenario {
  const pom = `<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>${project(random)}</artifactId><version>1.${random.int(0, 9)}</version></project>`;
  return random.pick<Scenario>([
    { files: { 'pom.xml': pom }, command: `mvn -o -q ${random.pick(['test', 'package', 'compile'])}`, label: 'failed', exit: 'nonzero' },
    { files: { 'pom.xml': pom.replace('</artifactId>', '') }, command: 'mvn -o test', label: 'failed', exit: 'nonzero' },
    { files: {}, command: 'mvn -o verify', label: 'failed', exit: 'nonzero' },
    { files: { 'pom.xml': pom }, command: 'mvn -o validate', label: 'worked', exit: 'zero' },
  ]);
}

function npm(random: Random): Scenario {
  const name = project(random);
  const pack = (scripts: Record<string, string>, dependencies: Record<string, string> = {}): string => JSON.stringify({ name, version: `1.${random.int(0, 9)}.0`, scripts, dependencies });
  const missing = `${thing(random)}-${random.pick(['kit', 'tools', 'core'])}-absent`;
  return random.pick<Scenario>([
    { files: { 'package.json': pack({ test: `node -e "console.log('${random.int(2, 40)} passing')"` }) }, command: 'npm test', label: 'worked', exit: 'zero' },
    { files: { 'package.json': pack({ test: `node -e "console.log('${random.int(1, 4)} failing'); process.exit(1)"` }) }, command: 'npm test', label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': pack({}) }, command: 'npm test', label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': pack({}) }, command: `npm run ${snake(random)}`, label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': pack({ build: 'tsx-missing build' }) }, command: 'npm run build', label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': pack({ build: `echo "built ${name} without errors"` }) }, command: 'npm run build', label: 'worked', exit: 'zero' },
    { files: { 'package.json': pack({ start: `node -e "throw new Error('${thing(random)}')"` }) }, command: 'npm start', label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': pack({}, { [missing]: '^1.0.0' }) }, command: 'npm install --offline', label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': '{ "name": ' }, command: 'npm install --offline', label: 'failed', exit: 'nonzero' },
    { files: {}, command: 'npm test', label: 'failed', exit: 'nonzero' },
    { files: { 'package.json': pack({ test: 'true', lint: 'true' }) }, command: 'npm run', label: 'neutral', exit: 'zero' },
    { files: { 'package.json': pack({}) }, command: 'npm ls', label: 'neutral', exit: 'any' },
    { files: { 'package.json': pack({}), [`lib/${name}/package.json`]: JSON.stringify({ name: `${name}-lib`, version: '1.0.0' }) }, command: `npm install --offline ./lib/${name}`, label: 'worked', exit: 'zero' },
    { files: { 'package.json': pack({}) }, command: 'npm version patch --no-git-tag-version', label: 'neutral', exit: 'zero' },
    { files: { 'package.json': pack({}, { [missing]: '1' }) }, command: 'npm ci', label: 'failed', exit: 'nonzero' },
  ]);
}

function pip(random: Random): Scenario {
  const missing = `${thing(random)}-${random.pick(['kit', 'tools'])}-absent`;
  const name = `${project(random)}`;
  return random.pick<Scenario>([
    { files: {}, command: `pip install --isolated --no-index ${missing}==${random.int(1, 9)}.0`, label: 'failed', exit: 'nonzero' },
    { files: { 'requirements.txt': `${missing}>=1\n` }, command: 'pip install --isolated --no-index -r requirements.txt', label: 'failed', exit: 'nonzero' },
    { files: {}, command: 'pip install -r requirements.txt', label: 'failed', exit: 'nonzero' },
    { files: {}, command: `pip uninstall -y ${missing}`, label: 'neutral', exit: 'any' },
    { files: {}, command: `pip show ${random.pick(['pip', 'wheel', missing])}`, label: 'neutral', exit: 'any' },
    { files: {}, command: 'pip check', label: 'neutral', exit: 'any' },
    { files: { 'setup.py': `from setuptools import setup\nsetup(name='${name}', version='1.0', py_modules=[])\n` }, command: 'pip install --isolated --no-index --no-build-isolation --target ./site .', label: 'worked', exit: 'zero' },
    { files: { 'setup.py': `raise RuntimeError('${thing(random)}')\n` }, command: 'pip install --isolated --no-index --no-build-isolation --target ./site .', label: 'failed', exit: 'nonzero' },
    { files: {}, command: `pip ${random.pick(['instal', 'isntall', 'udpate'])} x`, label: 'failed', exit: 'nonzero' },
  ]);
}

function apt(random: Random): Scenario {
  return random.pick<Scenario>([
    { files: {}, command: `apt-get -s install ${thing(random)}-${thing(random)}-absent`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: `apt-get -s install ${random.pick(['sed', 'grep', 'coreutils', 'bash', 'tar', 'gzip'])}`, label: 'neutral', exit: 'zero' },
    { files: {}, command: `dpkg -s ${random.pick(['sed', 'grep', 'bash'])} | head -5`, label: 'neutral', exit: 'any' },
    { files: {}, command: `dpkg -i ${thing(random)}.deb`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: `apt-get ${random.pick(['instal', 'udpate'])} x`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: `su nobody -s /bin/sh -c 'apt-get install sed'`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: `apt-cache policy ${random.pick(['sed', 'bash', 'curl'])} | head -3`, label: 'neutral', exit: 'zero' },
  ]);
}

function python(random: Random): Scenario {
  const f = snake(random);
  const fail = random.pick([`{}['${thing(random)}']`, '[][3]', '1 / 0', `None.${f}()`, `int('${thing(random)}')`, `import ${f}`, `open('${f}.json')`, `raise RuntimeError('${thing(random)} went away')`, `assert 1 == 2, '${thing(random)}'`, 'import sys; sys.exit("configuration is invalid")', `${f}_undefined`]);
  const body = (statement: string): string => `def ${f}(value):\n    ${statement}\n    return value\n\n\nprint('starting ${thing(random)}')\nprint(${f}(${random.int(1, 9)}))\n`;
  const roll = random.next();
  if (roll < 0.5) return { files: { 'app.py': body(fail) }, command: 'python3 app.py', label: 'failed', exit: 'nonzero' };
  if (roll < 0.6) return { files: {}, command: `python3 ${f}.py`, label: 'failed', exit: 'nonzero' };
  return { files: { 'app.py': body('value += 1') }, command: 'python3 app.py', label: 'neutral', exit: 'zero' };
}

function node(random: Random): Scenario {
  const f = camel(random);
  const fail = random.pick([`undefined.${f}`, `${f}Missing()`, `throw new RangeError('${thing(random)} out of range')`, `require('./${thing(random)}-absent')`, `Promise.reject(new Error('${thing(random)}'))`, `JSON.parse('{')`, `process.exit(1)`, `null.length`, `require('fs').readFileSync('${f}.json')`]);
  const body = (statement: string): string => `console.log('${random.pick(['start', 'server up', 'loading'])} ${thing(random)}');\nfunction ${f}() { ${statement}; }\n${f}();\n`;
  if (random.chance(0.6)) return { files: { 'index.js': body(fail) }, command: 'node index.js', label: 'failed', exit: 'nonzero' };
  return { files: { 'index.js': body(`console.log({ id: ${random.int(1, 99)}, name: '${thing(random)}' })`) }, command: 'node index.js', label: 'neutral', exit: 'zero' };
}

function native(random: Random): Scenario {
  const good = random.chance(0.35);
  const statement = good ? `printf("total %d\\n", ${random.int(1, 99)});` : random.pick(['int *p = 0; *p = 1;', 'assert(1 == 2);', 'abort();', `fprintf(stderr, "cannot open ${thing(random)}\\n"); return 1;`]);
  const source = `#include <assert.h>\n#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts("${thing(random)}"); fflush(stdout); ${statement} return 0; }\n`;
  return { files: { 'main.c': source }, setup: ['gcc -O0 -w -o app main.c'], command: './app', label: good ? 'neutral' : 'failed', exit: good ? 'zero' : 'nonzero' };
}

function interpreters(random: Random): Scenario {
  const name = snake(random);
  return random.pick<Scenario>([
    { files: {}, command: `perl -e 'die "${name} broke"'`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: `perl -e 'use strict; $${name} = 1;'`, label: 'failed', exit: 'nonzero' },
    { files: { 'a.pl': `use ${pascal(random)};\n` }, command: 'perl a.pl', label: 'failed', exit: 'nonzero' },
    { files: { 'a.pl': `print "${name}\\n";\n` }, command: 'perl a.pl', label: 'neutral', exit: 'zero' },
    { files: { 'a.pl': 'print 1;\n' }, command: 'perl -c a.pl', label: 'worked', exit: 'zero' },
    { files: { 't/a.t': `use Test::More tests => ${2};\nok(1, '${name}');\nok(${random.pick(['1', '1'])}, 'b');\n` }, command: 'prove', label: 'worked', exit: 'zero' },
    { files: { 't/a.t': `use Test::More tests => 2;\nok(0, '${name}');\nok(1, 'b');\n` }, command: 'prove', label: 'failed', exit: 'nonzero' },
    { files: { 'a.tcl': `${name} 1\n` }, command: 'tclsh a.tcl', label: 'failed', exit: 'nonzero' },
    { files: { 'a.tcl': `puts "${name}"\n` }, command: 'tclsh a.tcl', label: 'neutral', exit: 'zero' },
    { files: {}, command: `sqlite3 :memory: 'select * from ${name}'`, label: 'failed', exit: 'nonzero' },
    { files: {}, command: `sqlite3 :memory: 'create table ${name}(id int); insert into ${name} values(1); select * from ${name}'`, label: 'neutral', exit: 'zero' },
    { files: {}, command: `sqlite3 :memory: 'selct 1'`, label: 'failed', exit: 'nonzero' },
    { files: { 'x.json': `{"${name}": ${random.int(1, 9)}}` }, command: 'jq . x.json', label: 'neutral', exit: 'zero' },
    { files: { 'x.json': `{"${name}": }` }, command: 'jq . x.json', label: 'failed', exit: 'nonzero' },
    { files: { 'x.json': `[1]` }, command: `jq .${name} x.json`, label: 'failed', exit: 'nonzero' },
    { files: { 'X.java': `class X { public static void main(String[] a) { Object o = null; o.toString(); } }\n` }, command: 'java X.java', label: 'failed', exit: 'nonzero' },
    { files: { 'X.java': `class X { public static void main(String[] a) { System.out.println("${name}"); } }\n` }, command: 'java X.java', label: 'neutral', exit: 'zero' },
  ]);
}

function services(random: Random): Scenario {
  const port = random.pick([9, 1, 7, 13]);
  const fails = random.pick([`curl -sS http://localhost:${port}/${thing(random)}`, `curl http://${thing(random)}.invalid/`, `curl -fsS http://localhost:${port}/api/${snake(random)}`, 'docker ps', `docker build -t ${project(random)} .`, `kubectl get ${random.pick(['pods', 'nodes', 'svc'])} --request-timeout=1s`, `psql -h localhost -c 'select 1'`, `ssh -o ConnectTimeout=1 -p ${port} localhost`, `openssl x509 -in ${thing(random)}.pem -noout -text`, `systemctl restart ${thing(random)}`, `wget -q -O- http://localhost:${port}/ || echo "download failed" && false`, `python3 -m http.server --bind 256.1.1.1`]);
  if (random.chance(0.75)) return { files: {}, command: fails, label: 'failed', exit: 'nonzero' };
  return { files: {}, command: random.pick(['curl --version', 'kubectl version --client', 'docker --version', 'openssl version', 'psql --version', 'openssl rand -hex 8']), label: 'neutral', exit: 'zero' };
}

/** Several tools in one line: the last one decides. */
function chained(random: Random): Scenario {
  const names2 = names(random, 2, snake);
  const good = random.chance(0.5);
  return { files: { 'test_x.py': `import unittest\nclass T(unittest.TestCase):\n    def test_${names2[0] ?? 'a'}(self):\n        self.assertEqual(1, ${good ? 1 : 2})\n` }, command: random.pick(['python3 -m py_compile test_x.py && python3 -m unittest', 'ls && python3 -m unittest -q', 'python3 -m unittest 2>&1 | tail -4; test ${PIPESTATUS[0]} -eq 0']), label: good ? 'worked' : 'failed', exit: good ? 'zero' : 'nonzero' };
}

export const BUILDS: Tool[] = [
  { family: 'make', runs: 80, make },
  { family: 'cmake', runs: 45, make: cmake },
  { family: 'ninja', runs: 40, make: ninja },
  { family: 'maven', runs: 14, make: maven },
  { family: 'npm', runs: 90, make: npm },
  { family: 'pip', runs: 45, make: pip },
  { family: 'apt', runs: 40, make: apt },
  { family: 'python', runs: 90, make: python },
  { family: 'node', runs: 70, make: node },
  { family: 'binary', runs: 45, make: native },
  { family: 'interpreters', runs: 100, make: interpreters },
  { family: 'services', runs: 70, make: services },
  { family: 'python', runs: 24, make: chained },
];
