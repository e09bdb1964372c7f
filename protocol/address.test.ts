import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hindsightHome, socketPath } from './address.ts';

it('takes the environment before the setting before the default', () => {
  expect(hindsightHome('/b', { HINDSIGHT_HOME: '/a' })).toBe('/a');
  expect(hindsightHome('/b', {})).toBe('/b');
  expect(hindsightHome('', { HINDSIGHT_HOME: '' })).toBe(join(homedir(), '.hindsight'));
});

it('listens in the home, or on a pipe that is named after it', () => {
  expect(socketPath('/a', 'linux')).toBe('/a/daemon.sock');
  expect(socketPath('C:\\Users\\A', 'win32')).toBe('\\\\.\\pipe\\hindsight-c-users-a');
});
