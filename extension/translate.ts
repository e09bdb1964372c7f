// The editor's language for modules that know no editor. The window says once how it is spoken; until then, English.

/** As `vscode.l10n.t`: the English text is the key, `{0}` the first value. */
export type Translate = (message: string, ...values: (string | number)[]) => string;

export const english: Translate = (message, ...values) => message.replace(/\{(\d)\}/g, (whole, index: string) => String(values[Number(index)] ?? whole));

let spoken = english;

export function speak(translate: Translate): void {
  spoken = translate;
}

export const t: Translate = (message, ...values) => spoken(message, ...values);
