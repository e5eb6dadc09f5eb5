# bash completion for rensei-daemon: the program itself says what could stand here.

_rensei_daemon() {
    local IFS=$' \t\n' program=${1/#\~\//$HOME/} kind value i words=() places=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        # To bash --level=info is three words; the program wants the two that say something.
        if ((i < COMP_CWORD)) && [[ ${COMP_WORDS[i]} == = && ${COMP_WORDS[i - 1]} == --* ]]; then
            continue
        fi
        words+=("${COMP_WORDS[i]}")
        places+=("$i")
    done
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o bashdefault -o default ;;
            # Another program's command line began so many words before this one.
            command) _rensei_daemon_command "${places[${#places[@]} - 1 - value]}" ;;
        esac
    done < <(env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \
        _RENSEI_DAEMON_COMPLETE=bash_complete "$program" 2>/dev/null)
}

# Completes the command line that begins at this word, as if it stood alone.
_rensei_daemon_command() {
    if declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (($1 == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -A command -- "${COMP_WORDS[COMP_CWORD]}")
    else
        compopt -o bashdefault -o default
    fi
}

complete -o nosort -F _rensei_daemon rensei-daemon
