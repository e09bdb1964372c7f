/** Compilers and linters on sources that are right, wrong, or only warned about. */
import { camel, names, pascal, snake, thing, type Scenario, type Tool } from './scenario.ts';
import type { Random } from '../random.ts';

const quiet = (files: Record<string, string>, command: string): Scenario => ({ files, command, label: 'neutral', exit: 'zero' });
const broken = (files: Record<string, string>, command: string): Scenario => ({ files, command, label: 'failed', exit: 'nonzero' });

function cSource(random: Random, fault: 'none' | 'warning' | 'error'): string {
  const [f, g] = names(random, 2, snake) as [string, string];
  const fine = `#include <stdio.h>\n#include <string.h>\n\nstatic int ${f}(int value) {\n  return value * ${random.int(2, 99)};\n}\n\nint main(void) {\n  printf("%d\\n", ${f}(${random.int(1, 9)}));\n  return 0;\n}\n`;
  if (fault === 'none') return fine;
  if (fault === 'warning') {
    return random.pick([
      fine.replace('int main(void) {', `int main(void) {\n  int ${g};`),
      fine.replace('"%d\\n"', '"%s\\n"'),
      fine.replace('static int', `static int ${g}(void) { return 1; }\nstatic int`),
      fine.replace('int value) {', 'int value) {\n  if (value = 3) return 1;'),
    ]);
  }
  return random.pick([
    fine.replace(';\n}', '\n}'),
    fine.replace('#include <string.h>', `#include "${g}.h"`),
    fine.replace(`${f}(int value)`, `${f}(int value, int other)`),
    fine.replace('value *', `${g} *`),
    fine.replace('return 0;\n}', 'return 0;\n'),
    fine.replace('int main(void) {', `int main(void) {\n  struct ${g} item;\n  item.id = 1;`),
    fine.replace('int main(void)', `int ${f}(int value) { return 0; }\nint main(void)`),
  ]);
}

function compileC(random: Random): Scenario {
  const file = `${thing(random)}.c`;
  const path = random.chance(0.5) ? `src/${file}` : file;
  const command = `${random.pick(['gcc', 'cc'])} -Wall -Wextra ${random.pick(['-O2', '-g', '-c'])} ${path} -o ${random.pick(['app', 'out.o', 'main'])}${random.chance(0.4) ? ' -fdiagnostics-color=always' : ''}`;
  const fault = random.pick(['none', 'warning', 'warning', 'error', 'error', 'error', 'link'] as const);
  if (fault === 'link') {
    const missing = snake(random);
    return broken({ [path]: `int ${missing}(int);\nint main(void) { return ${missing}(1); }\n` }, `gcc ${path} -o app`);
  }
  const files = { [path]: cSource(random, fault) };
  if (fault === 'warning') return quiet(files, command);
  return fault === 'none' ? quiet(files, command) : broken(files, command);
}

function compileCpp(random: Random): Scenario {
  const type = pascal(random);
  const fine = `#include <string>\n#include <vector>\n#include <iostream>\n\nclass ${type} {\n public:\n  void add(const std::string& name) { names_.push_back(name); }\n  size_t size() const { return names_.size(); }\n private:\n  std::vector<std::string> names_;\n};\n\nint main() {\n  ${type} item;\n  item.add("${thing(random)}");\n  std::cout << item.size() << std::endl;\n}\n`;
  const command = `g++ -std=c++17 -Wall -fsyntax-only ${thing(random)}.cpp`.replace(/\S+\.cpp/, 'main.cpp');
  const error = random.pick([
    fine.replace('item.add("', 'item.push("'),
    fine.replace('std::vector<std::string> names_', 'std::vector<std::strin> names_'),
    fine.replace('item.add("', 'item.names_.push_back("'),
    fine.replace('item.size()', `${snake(random)}()`),
    fine.replace('};', '}'),
    fine.replace('const std::string& name', 'int name'),
  ]);
  return random.chance(0.25) ? quiet({ 'main.cpp': fine }, command) : broken({ 'main.cpp': error }, command);
}

function typescript(random: Random): Scenario {
  const [f, g] = names(random, 2, camel) as [string, string];
  const type = pascal(random);
  const fine = `export interface ${type} { id: number; name: string }\nexport function ${f}(items: ${type}[]): string[] {\n  return items.map((item) => item.name);\n}\nconst first: string = ${f}([{ id: 1, name: 'a' }])[0] ?? '';\nconsole.log(first);\n`;
  const error = random.pick([
    fine.replace('item.name)', 'item.title)'),
    fine.replace('id: 1', "id: 'one'"),
    fine.replace(': string[] {', ': number {'),
    fine.replace('return items', `return ${g}`),
    `import { ${g} } from './${thing(random)}';\n${fine}`,
    fine.replace('=> item.name)', '=> item.name'),
    fine.replace("name: 'a' }", "nam: 'a' }"),
  ]);
  const command = `npx tsc --noEmit --strict --target es2022 --lib es2022,dom --types node src/index.ts${random.chance(0.3) ? ' --pretty' : ''}`;
  return random.chance(0.2) ? quiet({ 'src/index.ts': fine }, command) : broken({ 'src/index.ts': error }, command);
}

function javac(random: Random): Scenario {
  const type = pascal(random);
  const method = camel(random);
  const fine = `import java.util.*;\n\npublic class ${type} {\n    static int ${method}(List<Integer> values) {\n        int total = 0;\n        for (int value : values) total += value;\n        return total;\n    }\n    public static void main(String[] args) {\n        System.out.println(${method}(List.of(1, 2, 3)));\n    }\n}\n`;
  const error = random.pick([
    fine.replace('total = 0;', 'total = 0'),
    fine.replace('int total = 0;', ''),
    fine.replace('return total', 'return "total"'),
    fine.replace('List<Integer> values', 'Lst<Integer> values'),
    fine.replace(`println(${method}(`, `println(${camel(random)}X(`),
    fine.replace('return total;', ''),
  ]);
  const roll = random.next();
  if (roll < 0.15) return quiet({ [`${type}.java`]: fine }, `javac ${type}.java`);
  if (roll < 0.3) return quiet({ [`${type}.java`]: fine.replace('List<Integer> values', 'List values').replace('int value : values', 'Object value : values').replace('total += value', 'total += 1') }, `javac -Xlint:all ${type}.java`);
  return broken({ [`${type}.java`]: error }, `javac ${type}.java`);
}

function rustc(random: Random): Scenario {
  const f = snake(random);
  const fine = `fn ${f}(values: &[i32]) -> i32 {\n    values.iter().sum()\n}\n\nfn main() {\n    let values = vec![1, 2, ${random.int(3, 99)}];\n    println!("{}", ${f}(&values));\n}\n`;
  const error = random.pick([
    fine.replace('&values', 'values'),
    fine.replace('.sum()', '.summ()'),
    fine.replace('-> i32', '-> String'),
    fine.replace('let values', 'let value'),
    fine.replace('println!("{}", ', 'let moved = values;\n    println!("{} {:?}", moved.len(), values);\n    println!("{}", '),
    fine.replace('vec![', 'vec!['.repeat(2)),
  ]);
  const roll = random.next();
  const command = 'rustc --edition 2021 --emit=metadata main.rs';
  if (roll < 0.15) return quiet({ 'main.rs': fine }, command);
  if (roll < 0.4) return quiet({ 'main.rs': fine.replace('fn main() {', `fn main() {\n    let unused_${thing(random)} = 3;`) }, command);
  return broken({ 'main.rs': error }, command);
}

function pyCompile(random: Random): Scenario {
  const f = snake(random);
  const fine = `import sys\n\n\ndef ${f}(items):\n    total = 0\n    for item in items:\n        total += item\n    return total\n\n\nprint(${f}([1, 2, 3]))\n`;
  const error = random.pick([fine.replace('(items):', '(items)'), fine.replace('        total', '      total').replace('total = 0', '  total = 0'), fine.replace('[1, 2, 3]', '[1, 2, 3'), fine.replace('total += item', 'total =+= item'), fine.replace('return', 'retrun')]);
  const file = `${thing(random)}s.py`;
  return random.chance(0.2) ? quiet({ [file]: fine }, `python3 -m py_compile ${file}`) : broken({ [file]: error }, `python3 -m py_compile ${file}`);
}

function nodeCheck(random: Random): Scenario {
  const f = camel(random);
  const fine = `function ${f}(items) {\n  return items.filter((item) => item.ok);\n}\nmodule.exports = { ${f} };\n`;
  const error = random.pick([fine.replace('items) {', 'items {'), fine.replace('=> item.ok)', '=> item.ok'), fine.replace('return', 'retrn'), fine.replace('module', 'const const = 1;\nmodule')]);
  return random.chance(0.25) ? quiet({ 'index.js': fine }, 'node --check index.js') : broken({ 'index.js': error }, 'node --check index.js');
}

function eslint(random: Random): Scenario {
  const f = camel(random);
  const rules = "{ rules: { 'no-unused-vars': LEVEL, 'no-undef': LEVEL, eqeqeq: LEVEL, 'prefer-const': LEVEL, 'no-empty': LEVEL } }";
  const faults = random.sample([`const ${camel(random)}Unused = 1;`, `if (1 == '1') { console.log(1); }`, `let ${camel(random)}Once = 3; console.log(${thing(random)}Global);`, 'try { JSON.parse("") } catch (e) {}'], random.int(1, 3));
  const source = (body: string): string => `export function ${f}(a) {\n  return a + 1;\n}\n${body}\n`;
  const config = (level: string): Record<string, string> => ({ 'eslint.config.mjs': `export default [${rules.replaceAll('LEVEL', `'${level}'`)}];\n` });
  const roll = random.next();
  const command = `npx eslint ${random.pick(['.', 'src/', 'src/index.js', 'src --color'])}`;
  if (roll < 0.2) return quiet({ ...config('error'), 'src/index.js': source('') }, command);
  if (roll < 0.5) return quiet({ ...config('warn'), 'src/index.js': source(faults.join('\n')) }, command);
  if (roll < 0.65) return broken({ ...config('error'), 'src/index.js': source('const = ;') }, command);
  return broken({ ...config('error'), 'src/index.js': source(faults.join('\n')) }, command);
}

export const COMPILERS: Tool[] = [
  { family: 'gcc', runs: 110, make: compileC },
  { family: 'gcc', runs: 60, make: compileCpp },
  { family: 'tsc', runs: 45, make: typescript },
  { family: 'javac', runs: 45, make: javac },
  { family: 'cargo', runs: 60, make: rustc },
  { family: 'python', runs: 50, make: pyCompile },
  { family: 'node', runs: 45, make: nodeCheck },
  { family: 'eslint', runs: 50, make: eslint },
];
