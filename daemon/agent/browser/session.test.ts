// What is decided without a browser; with a real one it is driven in the journey of the editor suite.
import { describe, expect, it } from 'vitest';
import { BrowserSession, difference, isLoopback, pageAddress } from './session.ts';

describe('which pages open without asking', () => {
  it.each(['http://localhost:3000/', 'http://127.0.0.1/', 'https://[::1]:8443/x', 'http://app.localhost/', 'http://127.9.9.9/'])('%s does', (url) => expect(isLoopback(pageAddress(url))).toBe(true));
  it.each(['http://example.org/', 'http://localhost.example.org/', 'http://127.0.0.1.example.org/', 'http://10.0.0.1/', 'http://0x7f.example/', 'http://169.254.169.254/latest'])('%s does not', (url) => expect(isLoopback(pageAddress(url))).toBe(false));
  it.each(['file:///etc/passwd', 'javascript:alert(1)', 'chrome://settings', 'view-source:http://localhost', 'localhost:3000', '', 'http://user:pw@localhost/'])('%s is no page', (url) => expect(() => pageAddress(url)).toThrow(/not the address of a page/));

  it('a host is allowed with its port, and alone', async () => {
    const session = new BrowserSession();
    await session.allow(new URL('https://example.org/a'));
    expect(['https://example.org/b', 'https://example.org:444/', 'https://www.example.org/'].map((url) => session.allows(new URL(url)))).toEqual([true, false, false]);
    await expect(session.open(new URL('https://www.example.org/'))).rejects.toThrow(/not agreed/);
    await expect(session.click('e1')).rejects.toThrow(/No page is open/);
  });
});

describe('what changed in a page', () => {
  it('is the lines that came and went; the names of elements count anew and say nothing', () => {
    const before = '- main [ref=e1]:\n  - button "Save" [ref=e2] [cursor=pointer]\n  - text: 0\n  - listitem [ref=e3]';
    const after = '- main [ref=e1]:\n  - button "Save" [active] [ref=e5]\n  - text: 1\n  - listitem [ref=e3]\n  - listitem [ref=e4]';
    expect(difference(before, after)).toEqual({ added: ['- text: 1', '- listitem'], removed: ['- text: 0'] });
    expect(difference(after, after)).toEqual({ added: [], removed: [] });
  });
});
