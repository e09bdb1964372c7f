/** Comma-separated values with quotes (RFC 4180): quoted fields may hold commas, quotes and line ends.
 *  @returns rows of fields; a quote that is not closed ends with the text */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let quoted = false;
  const endRow = (): void => {
    row.push(field);
    field = '';
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
  };
  for (let at = 0; at < text.length; at++) {
    const c = text.charAt(at);
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[at + 1] === '"') field += text.charAt(++at);
      else quoted = false;
    } else if (c === '"' && field === '') quoted = true;
    else if (c === ',') {
      row.push(field);
      field = '';
    } else if (c === '\n') endRow();
    else if (c !== '\r') field += c;
  }
  endRow();
  return rows;
}
