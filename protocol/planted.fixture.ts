/** Secrets of common kinds for tests, made from a seed: none is anybody's, and none stands in this file
 *  as a whole, so that scanners of the repository stay quiet. */
export interface Planted {
  kind: string;
  /** As it would stand in a file. */
  text: string;
  /** What must never be stored. */
  secret: string;
}

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const DIGITS = '0123456789';
const HEX = '0123456789abcdef';

export function plantedSecrets(seed: number): Planted[] {
  let state = seed * 2654435761 + 1;
  const some = (count: number, alphabet = ALPHANUMERIC): string =>
    Array.from({ length: count }, () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return alphabet[(state >> 8) % alphabet.length];
    }).join('');
  const whole = (kind: string, secret: string): Planted => ({ kind, text: `const value = "${secret}";`, secret });
  const named = (kind: string, secret: string, text: (secret: string) => string): Planted => ({ kind, secret, text: text(secret) });
  const pem = (name: string): string => `-----BEGIN ${name}PRIVATE ${'KEY'}-----\n${some(64)}\n${some(64)}\n${some(40)}==\n-----END ${name}PRIVATE ${'KEY'}-----`;
  return [
    whole('an AWS access key id', `AKIA${some(16, UPPER)}`),
    named('an AWS secret key', some(40), (secret) => `aws_secret_access_key = "${secret}"`),
    whole('a GitHub token', `ghp_${some(36)}`),
    whole('a fine-grained GitHub token', `github_pat_${some(22)}_${some(59)}`),
    whole('a GitLab token', `glpat-${some(20)}`),
    whole('a Slack token', `xoxb-${some(12, DIGITS)}-${some(13, DIGITS)}-${some(24)}`),
    whole('a Slack hook', `https://hooks.slack.com/services/T${some(8, UPPER)}/B${some(8, UPPER)}/${some(24)}`),
    whole('a Stripe key', `sk_live_${some(24)}`),
    whole('a Google key', `AIza${some(35)}`),
    whole('an OpenAI key', `sk-${some(20)}T3BlbkFJ${some(20)}`),
    whole('an Anthropic key', `sk-ant-api03-${some(93)}AA`),
    whole('an npm token', `npm_${some(36)}`),
    whole('a Hugging Face token', `hf_${some(34)}`),
    whole('a SendGrid key', `SG.${some(22)}.${some(43)}`),
    whole('a JSON web token', `eyJhbGciOiJIUzI1NiJ9.eyJ${some(20)}.${some(43)}`),
    named('an RSA key', pem('RSA '), (secret) => secret),
    named('an SSH key', pem('OPENSSH '), (secret) => secret),
    named('a key of a service account', some(64), (secret) => `"private_key": "-----BEGIN PRIVATE ${'KEY'}-----\\n${secret}\\n-----END PRIVATE ${'KEY'}-----\\n"`),
    named('a password in an address', some(12), (secret) => `url = "postgres://admin:${secret}@db.example.org/x"`),
    named('a password in code', some(14), (secret) => `const config = { password: '${secret}' };`),
    named('a password in an env file', some(14), (secret) => `DB_PASSWORD=${secret}`),
    named('a bearer token', some(40), (secret) => `Authorization: Bearer ${secret}`),
    named('an API key', some(32, HEX), (secret) => `api_key: "${secret}"`),
    named('a registry token', some(36), (secret) => `//example.org/:_authToken=${secret}`),
    named('a storage key', `${some(86)}==`, (secret) => `AccountKey=${secret};EndpointSuffix=x`),
  ];
}
