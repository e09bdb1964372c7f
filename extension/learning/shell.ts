// The page around what is drawn: no data is ever in it, and nothing runs but the script that carries the nonce.
export interface ShellParts {
  readonly nonce: string;
  readonly script: string;
}

export function shell({ nonce, script }: ShellParts): string {
  const policy = `default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width">
<title>Hindsight</title>
<style nonce="${nonce}">${STYLE}</style>
</head>
<body>
<main></main>
<script nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}

/** The colours are the theme's own, high contrast included. */
const STYLE = `
body { padding: 0 1.5rem 2rem; color: var(--vscode-foreground); font: var(--vscode-font-size)/1.5 var(--vscode-font-family); }
main { max-width: 70rem; margin: 0 auto; }
h1 { font-size: 1.7em; font-weight: 500; margin: 1.2rem 0 .4rem; }
h2 { font-size: 1.25em; font-weight: 500; margin: 2rem 0 .6rem; }
h3 { font-size: 1em; font-weight: 600; margin: 0; }
h4 { font-size: .9em; font-weight: 400; margin: 0 0 .2rem; color: var(--vscode-descriptionForeground); }
p { margin: .2rem 0; }
.note { color: var(--vscode-descriptionForeground); }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; margin-top: 1.2rem; }
figure { flex: 1 1 20rem; max-width: 34rem; margin: 0; }
figcaption { margin-bottom: .3rem; font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--vscode-widget-border, var(--vscode-editorWidget-border, currentColor)); stroke-width: 1; opacity: .5; }
.axis { fill: var(--vscode-descriptionForeground); font-size: 11px; }
.band { fill: var(--vscode-charts-blue); opacity: .18; }
.curve { fill: none; stroke: var(--vscode-charts-blue); stroke-width: 2; }
.whisker { stroke: var(--vscode-charts-blue); stroke-width: 1.5; opacity: .7; }
.dot { fill: var(--vscode-charts-blue); }
.dot.serving { fill: var(--vscode-editor-background); stroke: var(--vscode-charts-green); stroke-width: 3; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem 1.5rem .4rem 0; font-weight: 400; }
thead th, .why td { border-bottom: 1px solid var(--vscode-widget-border, var(--vscode-editorWidget-border)); }
.why td { padding-top: 0; color: var(--vscode-descriptionForeground); }
thead th { color: var(--vscode-descriptionForeground); }
tbody th { font-weight: 600; white-space: nowrap; }
article { margin: .9rem 0; padding: .6rem .9rem; border: 1px solid var(--vscode-contrastBorder, transparent); border-left: 3px solid var(--vscode-descriptionForeground); background: var(--vscode-textBlockQuote-background); }
article.good { border-left-color: var(--vscode-charts-green); }
article.bad { border-left-color: var(--vscode-charts-red); }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: .8rem; margin-top: .5rem; }
pre { margin: 0; padding: .4rem .6rem; max-height: 12rem; overflow: auto; background: var(--vscode-textCodeBlock-background); font: var(--vscode-editor-font-size)/1.4 var(--vscode-editor-font-family); white-space: pre-wrap; border: 1px solid var(--vscode-contrastBorder, transparent); }
pre:focus-visible { outline: 1px solid var(--vscode-focusBorder); }
body.vscode-high-contrast .band, body.vscode-high-contrast-light .band { opacity: .35; stroke: var(--vscode-contrastBorder); stroke-dasharray: 4 3; }
`;
