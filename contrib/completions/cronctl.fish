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
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "list" -d 'List jobs: schedule, last run, next run, state'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "status" -d 'Show the daemon\'s state, and the jobs that fail'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "show" -d 'Show everything about a job'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "history" -d 'List past runs, newest first'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "logs" -d 'Show the output of a job\'s run'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "why" -d 'Explain why a job ran or did not run'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "events" -d 'Show what happens: starts, ends, pauses, reloads'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "metrics" -d 'Print metrics of jobs and daemon for Prometheus'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "calendar" -d 'Print the coming runs for calendar programs'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "fleet" -d 'Show the nodes of the fleet, their clocks, and tables that differ'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "top" -d 'Show live what fails, runs and comes next'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "run" -d 'Run a job now'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "pause" -d 'Pause jobs: start no runs of them for a time'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "resume" -d 'End the pause of jobs'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "kill" -d 'End a run, or cancel a waiting one'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "reload" -d 'Read the crontabs again'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "ping" -d 'Check whether the daemon answers'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "next" -d 'Show when entries run next'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "check" -d 'Report errors and warnings in crontabs'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "explain" -d 'Explain a schedule in English and show its next runs'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "simulate" -d 'Show what the daemon would start during clock changes and restarts'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "timeline" -d 'Draw when jobs ran and when they will run'
complete -c cronctl -n "__fish_cronctl_needs_command" -f -a "web" -d 'Serve a web page that shows and controls jobs'
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l user -d 'Only jobs that run as this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l spool -d 'Directory of users\' crontabs; default: /var/spool/cron/crontabs' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l system-crontab -d 'System crontab; default: /etc/crontab' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l cron-d -d 'Directory of system tables; default: /etc/cron.d' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l state-dir -d 'Directory of the daemon\'s state of jobs; default: /var/lib/cronwheel' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l fleet -d 'Jobs with CRON_FLEET=one: which node ran each of them last, and which nodes have it'
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -l json -d 'Print the replies of the method List, or with --fleet of FleetJobs, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand status" -l user -d 'Name the jobs of this user only' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand status" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand status" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand status" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand status" -l json -d 'Print the reply of the method Status as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -l user -d 'JOB is a job of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -l json -d 'Print the reply of the method Show as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l user -d 'Only runs of jobs of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l since -d 'Only what was due at this time or later' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l until -d 'Only what was due before this time' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l outcome -d 'Only runs and slots with this outcome' -r -f -a "ok\t''
failed\t''
signal\t''
timeout\t''
killed\t''
replaced\t''
not started\t''
lost\t''
skipped\t''
missed\t''
running\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l limit -d 'Show at most N; default: 50' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l fleet -d 'The last 20 outcomes of a job with CRON_FLEET=one on all nodes; needs JOB'
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -l json -d 'Print the replies of the method Runs, one JSON object on each line, or with --fleet that of FleetHistory'
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -l user -d 'JOB is a job of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -s f -l follow -d 'Keep showing what the run writes, until it ends'
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -l json -d 'Print the replies of the method Output, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -l user -d 'JOB is a job of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -l json -d 'Print the reply of the method Why as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -l user -d 'Only events of jobs of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -s f -l follow -d 'Show events from now on, as they happen'
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -l json -d 'Print the replies of the method Events, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l output -d 'Replace this file, also without a daemon; its readers see the old text or the new one' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l format -d 'openmetrics or prometheus: with the types of counters, which the two formats write differently; common: without them, valid in both; default: common' -r -f -a "common\t''
openmetrics\t''
prometheus\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l user -d 'Only jobs that run as this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -l json -d 'Print the replies of the method Metrics, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l days -d 'The days from now on, at most 366; default: 30' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l user -d 'Only jobs that run as this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l spool -d 'Directory of users\' crontabs; default: /var/spool/cron/crontabs' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l system-crontab -d 'System crontab; default: /etc/crontab' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l cron-d -d 'Directory of system tables; default: /etc/cron.d' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l state-dir -d 'Directory of the daemon\'s state of jobs; default: /var/lib/cronwheel' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -l json -d 'Print the replies of the method Next, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -l user -d 'Only jobs that run as this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -l json -d 'Print the reply of the method Fleet, or with reset of FleetReset, as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand top" -l user -d 'Only jobs that run as this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand top" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand top" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand top" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand top" -l json -d 'Print the replies of the method List once, one JSON object on each line; needs no terminal'
complete -c cronctl -n "__fish_cronctl_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l user -d 'JOB is a job of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l wait -d 'Wait until the run ends, and print its output'
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l force -d 'Run it even if it is running or its group is busy'
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -l json -d 'Print the replies of the method Run, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l for -d 'For this time, like 30m, 2h or 3d; at most 30d' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l until -d 'Until this time, like 14:00 or \'2026-12-01 14:00\'' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l note -d 'Reason, shown with the job' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l user -d 'Only jobs of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l all -d 'Pause all jobs that you may pause'
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -l json -d 'Print the reply of the method Pause as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -l user -d 'Only jobs of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -l all -d 'Resume all jobs that you may resume'
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -l json -d 'Print the reply of the method Resume as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -s s -l signal -d 'Only send this signal to the run\'s processes: a name like HUP, or a number' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -l user -d 'JOB is a job of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -l json -d 'Print the reply of the method Kill as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand reload" -l user -d 'Read the crontab of this user only' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand reload" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand reload" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand reload" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand reload" -l json -d 'Print the reply of the method Reload as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand ping" -l user -d 'Accepted and ignored: there is one daemon' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand ping" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand ping" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand ping" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand ping" -l json -d 'Accepted and ignored: ping prints nothing'
complete -c cronctl -n "__fish_cronctl_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l expr -d 'Use this schedule: five fields, a nickname such as @daily, or @quartz and seven fields' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l file -d 'The same as FILE' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l user -d 'Use the entries of this user\'s crontab' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l from -d 'Runs after this time (exclusive); default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand next" -l until -d 'Runs until this time (inclusive)' -r
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
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l user -d 'Check the crontab of this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l system -d 'The file has the format of /etc/crontab: each entry names a user before the command'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l batch -d 'Read tables from standard input, one JSON object on each line'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -l json -d 'Print one JSON object for each file, with file, ok, entries, errors and warnings, and nothing on standard error'
complete -c cronctl -n "__fish_cronctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l from -d 'Show runs after this time; default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l user -d 'Explain the entries of this user\'s crontab' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -l json -d 'Print one JSON object for each schedule, with expr, explanation, zone, next (UTC) and warnings, or with error'
complete -c cronctl -n "__fish_cronctl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l file -d 'The same as FILE' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l user -d 'Use the entries of this user\'s crontab' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l from -d 'Start the simulated machine at this time; default: now' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand simulate" -l until -d 'Stop after this time (inclusive); default: one day after --from' -r
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
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l file -d 'The same as FILE' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l user -d 'Only jobs of this user; without a daemon, the entries of this user\'s crontab' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l tz -d 'Use this IANA time zone instead of the system\'s' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l from -d 'Begin at this time; default: the start of the current hour, and six hours earlier if there is a history' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l until -d 'End before this time, at most 400 days after --from; default: one day after --from' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l by -d 'Draw a row for each job or for each user; default: job' -r -f -a "job\t''
user\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l rows -d 'Draw at most N rows; default: 200. Jobs without a row are counted above the rows' -r
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
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -l json -d 'Print what the diagram shows, one JSON object on each line: first the range, then each fact'
complete -c cronctl -n "__fish_cronctl_using_subcommand timeline" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l listen -d '127.0.0.1:PORT, [::1]:PORT or unix:PATH; default: a free port on 127.0.0.1' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l user -d 'Show only jobs that run as this user' -r -f -a "(__fish_complete_users)"
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l token-file -d 'Serve /metrics and /calendar.ics to programs that send the first line of FILE (Authorization: Bearer)' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l host -d 'On a Unix socket, serve requests for this host name only; may be repeated' -r
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l run-dir -d 'Directory of the daemon\'s PID file, lock and sockets; default: /run' -r -f -a "(__fish_complete_directories)"
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie); default: from the configuration file or /etc/os-release' -r -f -a "debian\t''
cronie\t''"
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l config -d 'Read the configuration from this file; default: /etc/cronwheel.toml' -r -F
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l open -d 'Open the page in a browser (xdg-open)'
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l read-only -d 'Show everything and change nothing'
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l any-host -d 'On a Unix socket, serve requests for any host name: the web server in front refuses others'
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -l json -d 'Print the address as a JSON object'
complete -c cronctl -n "__fish_cronctl_using_subcommand web" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cronctl -n "__fish_cronctl_using_subcommand list" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand show" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand history" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand logs" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand why" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand events" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand calendar" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand fleet" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand run" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand pause" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand resume" -f -a "(cronctl job-names 2>/dev/null)"
complete -c cronctl -n "__fish_cronctl_using_subcommand kill" -f -a "(cronctl job-names 2>/dev/null)"
