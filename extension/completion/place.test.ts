import { describe, expect, it } from 'vitest';
import { placeIn } from './place.ts';

describe('where the cursor is', () => {
  it.each([
    ['typescript', 'const a = 1; ', 'code'],
    ['typescript', '// a thought', 'comment'],
    ['typescript', '// a thought\nlet b', 'code'],
    ['typescript', 'call(/* one', 'comment'],
    ['typescript', 'const url = "http://x', 'string'],
    ['typescript', 'const url = "http://x"; f(', 'code'],
    ['typescript', "const s = 'it\\'s ", 'string'],
    ['typescript', 'const t = `line\nnext', 'string'],
    ['typescript', 'const s = "never closed\nlet b', 'code'],
    ['python', '# why', 'comment'],
    ['python', 'def f():\n    """What it does.\n', 'string'],
    ['python', 'x = "#"; y', 'code'],
    ['python', '"""doc"""\nx', 'code'],
    ['rust', "fn f<'a>(x: &'a str", 'code'],
    ['sql', 'select 1 -- all of', 'comment'],
    ['html', '<p>it is "fine" <!-- no', 'comment'],
    ['shellscript', 'echo "a\nb', 'string'],
    ['unheardof', 'a // b', 'comment'],
  ])('%s %j: %s', (language, before, place) => {
    expect(placeIn(language, before)).toBe(place);
  });
});
