type Token = { kind: 'number'; value: number } | { kind: 'operator'; value: string };

export function evaluate(source: string): number {
  const tokens = scan(source);
  let position = 0;

  function expression(): number {
    let left = term();
    while (tokens[position]?.value === '+' || tokens[position]?.value === '-') {
      const operator = tokens[position++].value;
      const right = term();
      left = operator === '+' ? left + right : left - right;
    }
    return left;
  }

  function term(): number {
    const token = tokens[position++];
    if (token === undefined || token.kind !== 'number') {
      throw new SyntaxError('a number was expected');
    }
    return token.value;
  }

  return expression();
}
