// The layer rules of docs/architecture.md, kept by lint: nothing imports upwards.
import tseslint from 'typescript-eslint';

const forbid = (...groups) => ['error', { patterns: groups.map(([group, message]) => ({ group, message })) }];
const noEditor = [['vscode', 'vscode/*'], 'only extension/ may import vscode'];

export default tseslint.config(
  { ignores: ['dist/', 'native/build/', '.cache/', '.vscode-test/', 'node_modules/', 'testdata/'] },
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-empty': ['error', { allowEmptyCatch: false }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
    },
  },
  { files: ['*.config.{mjs,ts}'], rules: { 'no-restricted-exports': 'off' } },
  {
    files: ['protocol/**/*.ts'],
    rules: { 'no-restricted-imports': forbid(noEditor, [['**/daemon/**', '**/extension/**', '**/native/**'], 'protocol/ imports nothing of ours']) },
  },
  {
    files: ['daemon/**/*.ts'],
    rules: { 'no-restricted-imports': forbid(noEditor, [['**/extension/**'], 'daemon/ never imports the extension'], [['**/native/src/**'], 'daemon/ reaches native/ through native/index.ts']) },
  },
  {
    files: ['native/**/*.ts'],
    rules: { 'no-restricted-imports': forbid(noEditor, [['**/daemon/**', '**/extension/**', '**/protocol/**'], 'native/ knows nothing of the product']) },
  },
  {
    files: ['extension/**/*.ts'],
    rules: { 'no-restricted-imports': forbid([['**/daemon/**', '**/native/**'], 'extension/ imports protocol/ and vscode only']) },
  },
);
