# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cronctl_global_optspecs
    string join \n profile= config= h/help V/version
end

function __fish_cronctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cronctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cronctl_using_subcommand
    set -l cmd (__fish_cronctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cronctl -n "__fish_cronctl_needs_command" -l profile -d 'Behave as debian or cronie; default: as the settings file or the distribution says' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_needs_command" -l config -d 'Read this settings file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_needs_command" -s h -l help -d 'Print help'
complete -c cronctl -n "__fish_cronctl_needs_command" -s V -l version -d 'Print version'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "next" -d 'Say when entries run next'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "check" -d 'Say what is wrong with tables'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "explain" -d 'Say in English what a schedule means, and when it is due next'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "simulate" -d 'Say what the daemon would start, through clock changes and restarts'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "timeline" -d 'Draw when entries run: rows of entries over hours'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l expr -d 'A schedule: five fields, a nickname, or @quartz and seven fields' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l file -d 'Take the entries of this table, in user form; - is standard input' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l user -d 'Take the entries of this user\'s table' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l tz -d 'The IANA time zone that stands for the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l from -d 'Runs after this moment (RFC 3339), itself not counted; default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l until -d 'No runs after this moment (RFC 3339), itself counted' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l count -d 'At most so many runs, over all entries together; default: 10' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l spool -d 'The users\' tables; default: /var/spool/cron/crontabs' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l system-crontab -d 'The system table; default: /etc/crontab' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l cron-d -d 'The drop-in tables; default: /etc/cron.d' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l run-dir -d 'The daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l state-dir -d 'The daemon\'s history of runs, which is not written yet; default: /var/lib/cronwheel' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l profile -d 'Behave as debian or cronie; default: as the settings file or the distribution says' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l config -d 'Read this settings file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l system -d 'The table is in system form, as /etc/crontab: with a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l json -d 'Write one JSON object a line, with at (UTC), schedule, zone, user, command, source and line'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l batch -d 'Answer questions from standard input, one JSON object a line'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l profile -d 'Behave as debian or cronie; default: as the settings file or the distribution says' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l config -d 'Read this settings file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l system -d 'The table is in system form, as /etc/crontab: with a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l batch -d 'Check tables from standard input, one JSON object a line'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l tz -d 'The IANA time zone that stands for the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l from -d 'Stand at this moment (RFC 3339); default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l profile -d 'Behave as debian or cronie; default: as the settings file or the distribution says' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l config -d 'Read this settings file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l file -d 'The table, in user form; - is standard input' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l tz -d 'The IANA time zone that stands for the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l from -d 'Start the machine at this moment (RFC 3339)' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l until -d 'Stop after this moment (RFC 3339), itself counted' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l step -d 'At this true moment set the clock forward or back: +2h, -90s, 30m, 1d' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l down -d 'Between these true moments the daemon does not run' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l profile -d 'Behave as debian or cronie; default: as the settings file or the distribution says' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l config -d 'Read this settings file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l system -d 'The table is in system form, as /etc/crontab: with a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l json -d 'Write one JSON object a line, with at (UTC), shown, line and command'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l file -d 'Draw the entries of this table, in user form; - is standard input' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l user -d 'Take the entries of this user\'s table' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l tz -d 'The IANA time zone that stands for the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l from -d 'Begin at this moment (RFC 3339); default: the hour that it is' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l until -d 'End before this moment (RFC 3339); default: a day after --from' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l svg -d 'Write the picture to this file as SVG; - is standard output' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l spool -d 'The users\' tables; default: /var/spool/cron/crontabs' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l system-crontab -d 'The system table; default: /etc/crontab' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l cron-d -d 'The drop-in tables; default: /etc/cron.d' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l run-dir -d 'The daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l state-dir -d 'The daemon\'s history of runs, which is not written yet; default: /var/lib/cronwheel' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l profile -d 'Behave as debian or cronie; default: as the settings file or the distribution says' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l config -d 'Read this settings file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l system -d 'The table is in system form, as /etc/crontab: with a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -s h -l help -d 'Print help (see more with \'--help\')'
