/** Completion scripts. Each asks the program itself, so that a script of an older version stays right. */

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The hidden verb that the scripts call, with the command line up to the cursor. */
export const COMPLETE_VERB = "__complete";

/** In place of candidates: names of files. */
export const FILES_MARK = ":files";

const BASH = `# bash completion for assay: source this file, or run: eval "$(assay completion bash)"
_assay() {
  local line value word="\${COMP_LINE:0:COMP_POINT}" IFS=$'\\n'
  local current="\${word##*[[:space:]]}" prefix=''
  COMPREPLY=()
  # The shell takes = for the end of a word, and wants what follows alone.
  if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then prefix="\${current%%=*}="; fi
  while IFS= read -r line; do
    if [[ $line == '${FILES_MARK}' ]]; then
      current="\${current#"$prefix"}"
      COMPREPLY=($(compgen -f -- "$current")); compopt -o filenames 2>/dev/null
      return
    fi
    value="\${line%%$'\\t'*}"
    COMPREPLY+=("\${value#"$prefix"}")
  done < <("\${COMP_WORDS[0]}" ${COMPLETE_VERB} "$word" 2>/dev/null)
}
complete -F _assay assay
`;

const ZSH = `#compdef assay
# zsh completion for assay: put this file into a folder of $fpath as _assay, or run: source <(assay completion zsh)
_assay() {
  local line value description
  local -a values descriptions
  for line in "\${(@f)$("\${words[1]}" ${COMPLETE_VERB} "\${LBUFFER}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    if [[ $line == '${FILES_MARK}' ]]; then _files; return; fi
    value="\${line%%$'\\t'*}" description="\${line#*$'\\t'}"
    values+=("$value")
    if [[ -n $description && $description != $value ]]; then
      descriptions+=("$value  -- $description")
    else
      descriptions+=("$value")
    fi
  done
  (( $#values )) && compadd -l -d descriptions -- $values
}
if [[ $funcstack[1] == _assay ]]; then _assay "$@"; else compdef _assay assay; fi
`;

const FISH = `# fish completion for assay: write this file to ~/.config/fish/completions/assay.fish, or run: assay completion fish | source
function __assay_complete
  set -l line (commandline --cut-at-cursor | string collect)
  set -l found (assay ${COMPLETE_VERB} "$line" 2>/dev/null)
  if test "$found" = '${FILES_MARK}'
    __fish_complete_path (commandline --current-token)
  else
    printf '%s\\n' $found
  end
end
complete --command assay --no-files --arguments '(__assay_complete)'
`;

export const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
