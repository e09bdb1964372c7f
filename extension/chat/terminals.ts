// The agent's commands, as they run in the daemon's terminal, mirrored in a terminal of the editor: to be watched, and to be
// stopped with ctrl-C. One terminal for all of them, one after another, as a person would have it.
import * as vscode from 'vscode';

export interface Mirrored {
  readonly terminal: string;
  readonly command: string;
  readonly data: string;
  readonly ended: string | null;
}

export class MirrorTerminal implements vscode.Disposable {
  #terminal: vscode.Terminal | undefined;
  #write: ((data: string) => void) | undefined;
  /** What came before the terminal was open. */
  #early = '';
  /** The daemon's terminal that runs now, or ran last. */
  #current = '';
  #inLine = false;
  readonly #closed = vscode.window.onDidCloseTerminal((terminal) => {
    if (terminal === this.#terminal) this.#terminal = this.#write = undefined;
  });

  constructor(private readonly press: (terminal: string, keys: string) => void) {}

  show({ terminal, command, data, ended }: Mirrored): void {
    if (this.#terminal === undefined) this.#open();
    const begins = terminal !== this.#current;
    this.#current = terminal;
    if (begins) this.#print(`\x1b[1m$ ${command.replace(/\r?\n/g, '\r\n> ')}\x1b[0m\r\n`);
    if (data !== '') {
      this.#print(data);
      this.#inLine = !data.endsWith('\n');
    }
    if (ended !== null) this.#print(`${this.#inLine ? '\r\n' : ''}\x1b[0;2m${ended}\x1b[0m\r\n\r\n`);
    if (ended !== null) this.#inLine = false;
    // Seen, not stolen: the keys stay where they are.
    if (begins) this.#terminal?.show(true);
  }

  dispose(): void {
    this.#closed.dispose();
    this.#terminal?.dispose();
  }

  #print(text: string): void {
    if (this.#write === undefined) this.#early += text;
    else this.#write(text);
  }

  #open(): void {
    const writer = new vscode.EventEmitter<string>();
    const pty: vscode.Pseudoterminal = {
      onDidWrite: writer.event,
      open: () => {
        this.#write = (text) => writer.fire(text);
        writer.fire(this.#early);
        this.#early = '';
      },
      close: () => {
        this.#write = undefined;
        this.press(this.#current, '\x03');
      },
      handleInput: (keys) => this.press(this.#current, keys),
    };
    this.#terminal = vscode.window.createTerminal({ name: 'Hindsight', iconPath: new vscode.ThemeIcon('hubot'), pty, isTransient: true });
  }
}
