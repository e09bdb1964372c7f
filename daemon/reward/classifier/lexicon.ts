/**
 * Word classes, written by hand: what carries over to tools and phrasings that the corpus lacks.
 * A word belongs to the first class that has it; a trailing `*` takes any ending.
 */

type Lexicon = readonly (readonly [name: string, words: string])[];

const TERMINAL: Lexicon = [
  ['none', 'no none without zero 0'],
  ['not', "not cannot can't couldn't could't didn't doesn't don't isn't won't unable never nothing non"],
  ['warn', 'warn* caution deprecat* notice hint note advice'],
  ['bad', 'error* fail* fatal exception* traceback panic* abort* refus* denied deny invalid illegal missing unknown undefined undeclared unresolved unrecognized unexpected unsupported unreachable unterminated conflict* reject* broken corrupt* crash* segmentation segfault killed terminated core dumped overflow mismatch* violat* forbidden unauthorized timeout timed expired expected stop stopped assert* enoent econnrefused eacces err unmet unsatisfied wrong bug problem* issue* incompatible uncaught unhandled unmatched malformed undefinedreference leak leaked inconsistent impossible interrupted exited nonzero fault faults rolled rollback ✗ ✖ ✘ × ❌ ✕ npm! not_found unavailable exhausted'],
  ['good', 'ok pass* passing success* succeed* succeeded complete* completed done finished built created installed deployed published updated merged applied ready valid green clean ✓ ✔ √ ✅ resolved fixed saved uploaded pushed linked generated compiled up-to-date healthy approved'],
  ['usage', 'usage help options try see manual documentation'],
  ['trace', 'at file line in from caused stack backtrace'],
];

const MESSAGE: Lexicon = [
  ['not', "not no nope nah never don't dont doesn't doesnt didn't didnt isn't isnt wasn't wasnt aren't won't wont can't cant cannot couldn't shouldn't wouldn't haven't hasn't nothing none without neither nicht kein* nein pas non ne rien não nao nunca jamás nunca не нет ничего nie niet geen değil hayır"],
  ['undo', 'undo* undid revert* rollback restore* discard* scrap redo rückgängig annule* deshaz* desfa* отмени* верни* cofnij annulla'],
  ['thank', 'thank* thanks thx ty tysm cheers appreciat* merci danke* gracias obrigad* grazie спасибо dziękuję bedankt teşekkür* valeu kudos'],
  ['praise', 'great good nice perfect* awesome excellent cool sweet lovely beautiful* brilliant amazing wonderful neat impress* love like* elegant clean* solid super fantastic incredible happy well fine pretty smart clever handy spot yay wow bravo lgtm approve* top notch parfait perfekt perfecto perfetto perfeito genial toll klasse prima ottimo excelente отлично хорошо супер świetnie harika better best best nicer faster snappy'],
  ['works', 'work* works working worked fix* fixed solved solves solve resolved resolves passes passed pass passing green compiles builds gone ship* merge* merged commit* committed push* pushed deploy* deployed accept* confirm* keep stable funktioniert läuft geht marche fonctionne funciona funzion* работает działa werkt çalışıyor done finished live'],
  ['wrong', "wrong* incorrect* broke broken breaks break bad bug* buggy fail* error* exception* crash* hang* hung freez* stuck worse worst useless terrible awful horrible ugly garbage mess* nonsense ridiculous missing lost gone* misses mistake* misunderst* invalid undefined nan null segfault segmentation traceback panic* stale outdated deprecated slow* slower duplicate* twice typo off weird strange odd unreadable falsch kaputt fehler faux erreur plante mal error* falla* fallando errado erro sbagliat* errore ошибка неправильно сломал* źle błąd fout hata yanlış regression leak* flak* blank empty overkill unnecessary pointless hallucinat* overwr* unwanted unfinished incomplete"],
  ['again', 'still again anymore persists repeat* same remains keeps twice immer encore toujours sigue ainda ancora снова опять nadal nog hâlâ another'],
  ['instead', 'instead rather actually meant should must supposed expected asked wanted told said specifically'],
  ['omit', 'forgot forget forgotten missed skipped ignored dropped deleted removed overwrote omitted left vergessen oublié olvidaste esqueceu dimenticato забыл'],
  ['stop', 'stop quit leave avoid enough'],
  ['swear', 'wtf damn ugh argh jeez sigh fuck* shit* crap hell seriously kidding god come'],
  ['you', 'you your youve you\'ve yours du tu vous usted ты você'],
  ['do', 'add create write implement make build change rename move remove delete refactor extract convert update show list print explain describe set use put include handle support generate translate document test run open find sort count wrap split compute read load parse return display insert replace give turn draw summarize convert pick bump prepare compare increase reduce enable disable install configure extend port füge schreib* zeig* erkläre ajoute écris explique montre añade escribe explica muestra adicione crie aggiungi spiega добавь напиши объясни покажи dodaj pokaż voeg ekle'],
  ['ask', 'how what why where when which who whose is are can could would should does do did will wie was warum wo comment pourquoi quoi cómo qué por como come как что почему jak hoe wat nasıl ne'],
  ['please', 'please pls plz bitte kindly want need like\'d let\'s lets'],
  ['next', 'next then also now and continue go on ok okay yes yep yup yeah exactly correct right agreed sure indeed precisely alright ja oui sí si sim да так evet'],
];

/** Emoji carry a polarity by themselves. */
const GOOD_EMOJI = /[👍🎉💯✅🚀👌🙌😍🔥👏🙏✨😀😊🥳💪]|❤|:\)|:D/u;
const BAD_EMOJI = /[👎😡🤦❌😞💩😢😭🙄😤]|:\(|:\//u;

export const classOfTerminal = compile(TERMINAL);
export const classOfMessage = compile(MESSAGE);

export function emojiOf(text: string): 'good' | 'bad' | null {
  if (GOOD_EMOJI.test(text)) return 'good';
  return BAD_EMOJI.test(text) ? 'bad' : null;
}

function compile(lexicon: Lexicon): (word: string) => string | null {
  const exact = new Map<string, string>();
  const stems: [string, string][] = [];
  for (const [name, words] of lexicon) {
    for (const word of words.split(' ')) {
      if (word.endsWith('*')) stems.push([word.slice(0, -1), name]);
      else if (!exact.has(word)) exact.set(word, name);
    }
  }
  const known = new Map<string, string | null>();
  return (word) => {
    const found = known.get(word);
    if (found !== undefined) return found;
    const name = exact.get(word) ?? stems.find(([stem]) => word.startsWith(stem))?.[1] ?? null;
    if (known.size < 20_000) known.set(word, name);
    return name;
  };
}
