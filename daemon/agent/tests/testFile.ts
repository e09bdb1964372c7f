/** Files that are tests by their name: green by editing these is no success, and what they test is another file. */
export function isTestFile(path: string): boolean {
  return /(^|\/)(tests?|__tests__|spec)\/|(\.|_|-)(test|spec)s?\.[^/.]+$|(^|\/)test_[^/]*\.py$/.test(path);
}
