complete -c crond -s L -d 'Log starts (1), ends (2), failures (4), with process ids (8): their sum; 0 logs no jobs [default: 1]' -r
complete -c crond -s x -d 'Stay in the foreground, and tell on standard error what happens: tables (load), their lines (pars), what is due (sch), jobs (proc), signals (misc), more of it (ext); test: start no job' -r -f -a "ext\t''
sch\t''
proc\t''
pars\t''
load\t''
misc\t''
test\t''
bit\t''"
complete -c crond -l profile -d 'Behave as `debian` or as `cronie` [default: by os-release]' -r
complete -c crond -l config -d 'Read settings from there [default: /etc/cronwheel.toml]' -r -F
complete -c crond -l spool -d 'Users\' tables' -r -F
complete -c crond -l system-crontab -d 'The system\'s table' -r -F
complete -c crond -l cron-d -d 'Drop-in system tables' -r -F
complete -c crond -l run-dir -d 'PID file, lock, sockets and markers' -r -F
complete -c crond -l state-dir -d 'Where a history of runs will be kept; nothing is written there yet' -r -F
complete -c crond -l log -d 'Where to log: to the system\'s log, the journal, or standard error as text or JSON [default: syslog]' -r -f -a "syslog\t''
journal\t''
stderr\t''
json\t''"
complete -c crond -l mailer -d 'Mail with this command; `off`: do not mail' -r
complete -c crond -l watch -d 'Notice changed tables by inotify, by a look each minute, or by both where a file system does not report every change [default: auto]' -r -f -a "auto\t''
inotify\t''
poll\t''"
complete -c crond -l stop-timeout -d 'How long running jobs may take when crond FILE is told to stop: 90s, 5m, 1h [default: 30s]' -r
complete -c crond -s f -l foreground -d 'Stay in the foreground'
complete -c crond -s l -d 'Take the names of the Linux Standard Base in /etc/cron.d'
complete -c crond -s n -d 'Use the full host name in the subject of mail'
complete -c crond -s N -d 'Run the jobs that are due this minute, and exit'
complete -c crond -l check -d 'Load all tables as the daemon would, report every fault, and exit'
complete -c crond -l version -d 'Print the version'
complete -c crond -l help -d 'Print this help'
