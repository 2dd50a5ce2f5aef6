"""What `bench completion SHELL` prints: a function of that shell's that asks `bench complete` for each press of the tab key."""

from bench.completion.candidates import candidates, left_of_break

BASH = r"""# in ~/.bashrc:  eval "$(bench completion bash)"
_bench() {
    local IFS=$'\n'
    COMPREPLY=($("$1" complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
}
complete -o nospace -o bashdefault -o default -F _bench bench
"""
ZSH = r"""# in ~/.zshrc, behind compinit:  eval "$(bench completion zsh)"
_bench() {
    local -a found
    found=("${(@f)$("${words[1]}" complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ! $#found )); then _files; return; fi
    compadd -S '' -- ${(M)found:#*[=.,/]}
    compadd -- ${found:#*[=.,/]}
}
compdef _bench bench
"""
FISH = r"""# in ~/.config/fish/config.fish:  bench completion fish | source
function __bench_complete
    bench complete fish (commandline -cp) 2>/dev/null
end
complete -c bench -f -a '(__bench_complete)'
complete -c bench -n '__fish_seen_subcommand_from replay' -F
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
UNFINISHED = ("=", ".", ",", "/")  # more of the word follows


def answer(shell: str, line: str) -> list[str]:
    """The lines that a shell's function gets for a command line up to the cursor."""
    begun = "" if line[-1:].isspace() else line.rsplit(maxsplit=1)[-1]
    found = candidates([*line.split()[1:], *([""] if not begun else [])])
    if shell != "bash":
        return found
    left = left_of_break(begun)  # bash takes = and : for ends of words, and replaces what stands behind the last
    return [each.removeprefix(left) + ("" if each.endswith(UNFINISHED) else " ") for each in found]
