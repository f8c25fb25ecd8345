/**
 * Reads JSON as it is signed: a text that two readers could take for two different things is no document.
 *
 * @param text  JSON
 * @param maxDepth  how deeply objects and lists may be nested
 * @throws Error  not JSON, a name that stands twice in one object, or nested too deeply
 */
export function parseStrictJson(text: string, maxDepth = 32): unknown {
  checkDepth(text, maxDepth);
  const value: unknown = JSON.parse(text);
  new NameCheck(text).run();
  return value;
}

/** Before the parser, which goes as deep as the text does. */
function checkDepth(text: string, maxDepth: number): void {
  let [depth, isText] = [0, false];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (isText) {
      if (code === backslash) at++;
      else if (code === quote) isText = false;
    } else if (code === quote) isText = true;
    else if (code === openBrace || code === openBracket) {
      if (++depth > maxDepth) throw new Error(`it is nested more than ${maxDepth} deep`);
    } else if (code === closeBrace || code === closeBracket) depth--;
  }
}

const [quote, backslash, comma] = [0x22, 0x5c, 0x2c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Looks for names that stand twice; the text has been found to be JSON, so a name is what follows `{` or its commas. */
class NameCheck {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  run(): void {
    const open: (Set<string> | null)[] = [];
    let isNameNext = false;
    for (let at = 0; at < this.#text.length; at++) {
      const code = this.#text.charCodeAt(at);
      if (code === quote) {
        const end = this.#endOfText(at);
        if (isNameNext) this.#note(open.at(-1), this.#text.slice(at, end + 1));
        isNameNext = false;
        at = end;
      } else if (code === openBrace) {
        open.push(new Set());
        isNameNext = true;
      } else if (code === openBracket) open.push(null);
      else if (code === closeBrace || code === closeBracket) {
        open.pop();
        isNameNext = false;
      } else if (code === comma) isNameNext = open.at(-1) instanceof Set;
    }
  }

  #endOfText(start: number): number {
    for (let at = start + 1; ; at++) {
      const code = this.#text.charCodeAt(at);
      if (code === backslash) at++;
      else if (code === quote) return at;
    }
  }

  #note(names: Set<string> | null | undefined, written: string): void {
    // `"a"` and `"\u0061"` are one name.
    const name = JSON.parse(written) as string;
    if (name === "__proto__") throw new Error("it has a name that cannot be used");
    if (names?.has(name)) throw new Error(`the name ${written.slice(0, 40)} stands twice`);
    names?.add(name);
  }
}
