/** JUnit XML, as pytest, surefire, gradle, ctest and most others write it. */
import { SaxesParser } from 'saxes';
import type { SaxesTagPlain } from 'saxes';
import type { TestCase, TestReport } from '../../../../protocol/tests.ts';

/** @throws on what is not well-formed, or no JUnit report */
export function parseJUnit(text: string): TestReport {
  const cases: TestCase[] = [];
  const errors: string[] = [];
  const suites: string[] = [];
  let seen = false;
  let current: TestCase | null = null;
  let collecting: { message: string } | null = null;
  const parser = new SaxesParser({ xmlns: false });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', (tag) => {
    if (tag.name === 'testsuite' || tag.name === 'testsuites') {
      seen = true;
      suites.push(tag.name === 'testsuite' ? attribute(tag, 'file') : '');
    } else if (tag.name === 'testcase') current = startCase(tag, suites);
    else if (tag.name === 'skipped' && current) current.state = 'skipped';
    else if (tag.name === 'failure' || tag.name === 'error') collecting = { message: attribute(tag, 'message') };
  });
  const collect = (part: string): void => {
    if (collecting) collecting.message += part;
  };
  parser.on('text', collect);
  parser.on('cdata', collect);
  parser.on('closetag', (tag) => {
    if (tag.name === 'testsuite' || tag.name === 'testsuites') suites.pop();
    if ((tag.name === 'failure' || tag.name === 'error') && collecting) {
      if (current) Object.assign(current, { state: 'failed', message: collecting.message.trim() });
      else errors.push(collecting.message.trim());
      collecting = null;
    }
    if (tag.name === 'testcase' && current) {
      cases.push(current);
      current = null;
    }
  });
  parser.write(text).close();
  if (!seen) throw new Error('no JUnit report');
  return { cases, errors };
}

function startCase(tag: SaxesTagPlain, suites: readonly string[]): TestCase {
  const owner = attribute(tag, 'classname');
  const name = attribute(tag, 'name');
  const file = attribute(tag, 'file') || (suites.findLast((one) => one !== '') ?? '');
  return { name: owner === '' || name.startsWith(owner) ? name : `${owner} ${name}`, file: file === '' ? null : file, state: 'passed', message: null };
}

function attribute(tag: SaxesTagPlain, name: string): string {
  return tag.attributes[name] ?? '';
}
