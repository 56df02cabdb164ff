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

complete -c cronctl -n "__fish_cronctl_needs_command" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_needs_command" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_needs_command" -s h -l help -d 'Print help'
complete -c cronctl -n "__fish_cronctl_needs_command" -s V -l version -d 'Print version'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "next" -d 'Show when entries run next'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "check" -d 'Report errors and warnings in crontabs'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "explain" -d 'Explain a schedule in English and show its next runs'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "simulate" -d 'Show what the daemon would start during clock changes and restarts'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "timeline" -d 'Draw a diagram of when entries run'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l expr -d 'Use this schedule: five fields, a nickname such as @daily, or @quartz and seven fields' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l file -d 'Use the entries of this file, which has the format of a user\'s crontab; - means standard input' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l user -d 'Use the entries of this user\'s crontab' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l from -d 'Runs after this time (RFC 3339, exclusive); default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l until -d 'Runs until this time (RFC 3339, inclusive)' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l count -d 'Show at most N runs of all entries together; default: 10' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l spool -d 'Directory of users\' crontabs; default: /var/spool/cron/crontabs' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l system-crontab -d 'System crontab; default: /etc/crontab' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l cron-d -d 'Directory of system tables; default: /etc/cron.d' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l state-dir -d 'Directory of the daemon\'s state of jobs; default: /var/lib/cronwheel' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l system -d 'The file has the format of /etc/crontab: each entry names a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l json -d 'Print one JSON object for each run, with at (UTC), schedule, zone, user, command, source and line'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l batch -d 'Read queries from standard input, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l system -d 'The file has the format of /etc/crontab: each entry names a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l batch -d 'Read tables from standard input, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l from -d 'Show runs after this time (RFC 3339); default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l file -d 'The file, in the format of a user\'s crontab; - means standard input' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l from -d 'Start the simulated machine at this time (RFC 3339)' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l until -d 'Stop after this time (RFC 3339, inclusive)' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l step -d 'At this true time set the clock forward or back: +2h, -90s, 1d; may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l down -d 'The daemon is stopped between these true times; may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l duration -d 'How long the runs of a job last, like backup=90m (default: no time); may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l exit -d 'Exit statuses of a job\'s runs in order, the last repeated (default: 0); may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l pause -d 'A job is paused between these true times; may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l run -d 'Somebody runs a job at this true time; may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l kill -d 'Somebody ends a job\'s oldest run, else what waits, else its retry; may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l system -d 'The file has the format of /etc/crontab: each entry names a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l outcomes -d 'Print one JSON object for each outcome of a slot or a run instead of the starts'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l json -d 'Print one JSON object for each start, with at (UTC), shown, line and command'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l file -d 'Use the entries of this file, which has the format of a user\'s crontab; - means standard input' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l user -d 'Use the entries of this user\'s crontab' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l from -d 'Begin at this time (RFC 3339); default: the start of the current hour' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l until -d 'End before this time (RFC 3339); default: one day after --from' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l svg -d 'Write the diagram to this file as SVG; - means standard output' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l spool -d 'Directory of users\' crontabs; default: /var/spool/cron/crontabs' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l system-crontab -d 'System crontab; default: /etc/crontab' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l cron-d -d 'Directory of system tables; default: /etc/cron.d' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l state-dir -d 'Directory of the daemon\'s state of jobs; default: /var/lib/cronwheel' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l system -d 'The file has the format of /etc/crontab: each entry names a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -s h -l help -d 'Print help (see more with \'--help\')'
