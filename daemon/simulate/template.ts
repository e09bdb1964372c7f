/** Any model as a party to a conversation: its folder with a template of plain lines. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const PLAIN = "{% for message in messages %}{% if message.role == 'system' %}{{ message.content }}{% elif message.role == 'user' %}Question: {{ message.content }}{% else %}Answer: {{ message.content }}{% endif %}\n\n{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}";
const CONFIG = 'tokenizer_config.json';

/** @returns the folder: links to the model's files, and a configuration with the template */
export function withPlainTemplate(model: string, folder: string): string {
  mkdirSync(folder);
  const names = readdirSync(model);
  for (const name of names) if (name !== CONFIG && !name.startsWith('chat_template')) symlinkSync(resolve(model, name), join(folder, name));
  const config = names.includes(CONFIG) ? (JSON.parse(readFileSync(join(model, CONFIG), 'utf8')) as object) : {};
  writeFileSync(join(folder, CONFIG), JSON.stringify({ ...config, chat_template: PLAIN }));
  return folder;
}
