import { jsonOption, kebab, text } from './options.js';
import { noAdapter } from './common.js';
import { check } from '../errors.js';
import { defineVerb } from './verb.js';
import type { Verb } from './verb.js';
import { didYouMean } from '../names.js';

/** A verb as shells complete it. */
interface Completed {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly {
    /** With dashes. */
    readonly name: string;
    readonly help: string;
    /** The words that the option takes; undefined for flags, empty where it takes a file or any text. */
    readonly words: readonly string[] | undefined;
  }[];
}

function completed({ name, summary, options }: Verb): Completed {
  const list = Object.entries({ ...options, ...jsonOption }).map(([key, { help, placeholder }]) => ({
    name: `--${kebab(key)}`,
    help,
    words:
      placeholder === undefined
        ? undefined
        : /^[a-z0-9-]+(\|[a-z0-9-]+)+$/.test(placeholder)
          ? placeholder.split('|')
          : [],
  }));
  return { name, summary, options: [...list, { name: '--help', help: 'examples and options', words: undefined }] };
}

function bash(verbs: readonly Completed[]): string {
  const cases = verbs.map(({ name, options }) => {
    const names = options.map((option) => option.name).join(' ');
    const words = options
      .filter((option) => (option.words ?? []).length > 0)
      .map((option) => `      ${name}:${option.name}) words="${option.words!.join(' ')}" ;;`);
    const files = options.filter((option) => option.words?.length === 0).map((option) => `${name}:${option.name}`);
    return { name, names, words, files };
  });
  return `# bash completion of linbp: source <(linbp completion bash)
_linbp() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" verb="\${COMP_WORDS[1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${verbs.map(({ name }) => name).join(' ')} --help --version"
  else
    case "$verb:$before" in
${cases.flatMap(({ words }) => words).join('\n')}
      ${cases.flatMap(({ files }) => files).join('|')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
      *)
        case "$verb" in
${cases.map(({ name, names }) => `          ${name}) words="${names}" ;;`).join('\n')}
        esac ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o filenames -F _linbp linbp
`;
}

/** Text inside single quotes of a shell, without what zsh's _arguments reads as its own. */
const plain = (words: string): string => words.replace(/'/g, '’').replace(/[[\]:]/g, ' ');

function zsh(verbs: readonly Completed[]): string {
  const argument = ({ name, help, words }: Completed['options'][number]): string => {
    const value = words === undefined ? '' : words.length === 0 ? ':value:_files' : `:value:(${words.join(' ')})`;
    return `'${name}[${plain(help)}]${value}'`;
  };
  const cases = verbs.map(
    ({ name, options }) => `    ${name}) _arguments \\\n      ${options.map(argument).join(' \\\n      ')} ;;`,
  );
  return `#compdef linbp
# zsh completion of linbp: source <(linbp completion zsh)
_linbp() {
  local -a verbs=(
${verbs.map(({ name, summary }) => `    '${name}:${plain(summary)}'`).join('\n')}
  )
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  local verb="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$verb" in
${cases.join('\n')}
  esac
}
compdef _linbp linbp
`;
}

function fish(verbs: readonly Completed[]): string {
  const quote = (words: string): string => `'${words.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`;
  const lines = verbs.flatMap(({ name, summary, options }) => [
    `complete -c linbp -f -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
    ...options.map((option) => {
      const words =
        option.words === undefined
          ? ''
          : option.words.length === 0
            ? ' -r -F'
            : ` -x -a ${quote(option.words.join(' '))}`;
      return (
        `complete -c linbp -n '__fish_seen_subcommand_from ${name}' ` +
        `-l ${option.name.slice(2)}${words} -d ${quote(option.help)}`
      );
    }),
  ]);
  return `# fish completion of linbp: linbp completion fish | source\n${lines.join('\n')}\n`;
}

const scripts = { bash, zsh, fish } as const;

/** The completion script of a shell for these verbs. */
export function completionScript(shell: keyof typeof scripts, verbs: readonly Verb[]): string {
  return scripts[shell](verbs.map(completed));
}

/** `linbp completion`: prints a script that lets a shell complete verbs and options. */
export const completionVerb = defineVerb({
  name: 'completion',
  summary: 'prints a script with which bash, zsh or fish complete verbs and options',
  examples: ['linbp completion bash > linbp.bash', 'linbp completion fish > linbp.fish'],
  subject: 'shell',
  options: { shell: text({ help: 'bash, zsh or fish', placeholder: 'SHELL' }) },
  notes: [
    '',
    'To use it: source <(linbp completion bash) in ~/.bashrc, source <(linbp completion zsh) in ~/.zshrc, ' +
      'or linbp completion fish | source in ~/.config/fish/config.fish.',
  ],
  async run({ shell }, { print, verbs }) {
    const names = Object.keys(scripts);
    const known = shell !== undefined && names.includes(shell);
    const hint = shell === undefined ? '' : `, got "${shell}"${didYouMean(shell, names)}`;
    check(known, 'unknown-option', `give a shell: ${names.join(', ')}${hint}`, 'shell');
    const script = completionScript(shell as keyof typeof scripts, await verbs());
    print(script.trimEnd());
    return { adapter: noAdapter, fields: { shell, script } };
  },
});
