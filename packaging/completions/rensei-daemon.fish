# fish completion for rensei-daemon: the program itself says what could stand here.

function __rensei_daemon_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    # What comes back is the value alone; fish wants the whole word.
    set -l option (string match -r -- '^--[^=]+=' $current)
    set -l value (string replace -- "$option" '' "$current")
    set -l told (env COMP_WORDS=(commandline -cp | string collect) COMP_CWORD="$current" \
        _RENSEI_DAEMON_COMPLETE=fish_complete "$program" 2>/dev/null)
    for line in $told
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case plain
                echo "$option$parts[2]"
            case dir
                string replace -r '^' -- "$option" (__fish_complete_directories "$value")
            case file
                string replace -r '^' -- "$option" (__fish_complete_path "$value")
            case command # another program's command line, so many words before this one
                set -l at (math (count $words) - $parts[2] + 1)
                set -l command
                test $parts[2] -gt 0; and set command (string escape -- $words[$at..-1])
                set -l line (string join ' ' -- $command "$current")
                complete "--do-complete=$line"
        end
    end
end

complete --command rensei-daemon --no-files --arguments '(__rensei_daemon_complete)'
