/** Small files on which fill-in-the-middle is measured; written for this purpose, in three languages. */
export const FIM_SAMPLES: readonly { path: string; text: string }[] = [
  {
    path: 'src/inventory.ts',
    text: `export interface Item {
  name: string;
  price: number;
  count: number;
}

/** Value of everything in stock. */
export function totalValue(items: Item[]): number {
  let total = 0;
  for (const item of items) {
    total += item.price * item.count;
  }
  return total;
}

export function findItem(items: Item[], name: string): Item | undefined {
  return items.find((item) => item.name === name);
}

export function removeItem(items: Item[], name: string): Item[] {
  const found = findItem(items, name);
  if (!found) {
    throw new Error(\`There is no item \${name}\`);
  }
  return items.filter((item) => item !== found);
}
`,
  },
  {
    path: 'lib/queue.js',
    text: `class Queue {
  constructor(limit) {
    this.limit = limit;
    this.items = [];
  }

  push(item) {
    if (this.items.length >= this.limit) {
      return false;
    }
    this.items.push(item);
    return true;
  }

  pop() {
    return this.items.shift();
  }

  get size() {
    return this.items.length;
  }
}

module.exports = { Queue };
`,
  },
  {
    path: 'tools/count.py',
    text: `import sys
from collections import Counter


def read_words(path):
    with open(path) as file:
        for line in file:
            for word in line.split():
                yield word.lower()


def main():
    counts = Counter(read_words(sys.argv[1]))
    for word, count in counts.most_common(10):
        print(word, count)


if __name__ == "__main__":
    main()
`,
  },
];
