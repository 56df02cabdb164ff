complete -c cron -s L -d 'What to log about jobs, as a sum: 1 starts, 2 ends, 4 failures, 8 process ids; 0 logs nothing [default: 1]' -r
complete -c cron -s x -d 'Stay in the foreground and print debug messages on standard error about: load (loading tables), pars (parsing lines), sch (due jobs), proc (processes of jobs), misc (signals), ext (more details); test: start no jobs' -r -f -a "ext\t''
sch\t''
proc\t''
pars\t''
load\t''
misc\t''
test\t''
bit\t''"
complete -c cron -l profile -d 'Behave like Debian\'s cron (`debian`) or like cronie (`cronie`) [default: from /etc/os-release]' -r
complete -c cron -l config -d 'Read the configuration from this file [default: /etc/cronwheel.toml]' -r -F
complete -c cron -l spool -d 'Directory of users\' crontabs' -r -F
complete -c cron -l system-crontab -d 'System crontab, instead of /etc/crontab' -r -F
complete -c cron -l cron-d -d 'Directory of system tables, instead of /etc/cron.d' -r -F
complete -c cron -l run-dir -d 'Directory for PID file, lock, sockets and markers, instead of /run' -r -F
complete -c cron -l state-dir -d 'Directory of the state of jobs, instead of /var/lib/cronwheel; with FILE no state is kept unless this is given' -r -F
complete -c cron -l log -d 'Where to log: syslog, the systemd journal, or standard error as text or JSON [default: syslog]' -r -f -a "syslog\t''
journal\t''
stderr\t''
json\t''"
complete -c cron -l mailer -d 'Send mail with this command; `off` disables mail' -r
complete -c cron -l watch -d 'How to notice changed tables: by inotify, by checking each minute (poll), or by both where a file system does not report every change (auto) [default: auto]' -r -f -a "auto\t''
inotify\t''
poll\t''"
complete -c cron -l stop-timeout -d 'With FILE: how long to wait for running jobs before terminating them: 90s, 5m, 1h [default: 30s]' -r
complete -c cron -s f -l foreground -d 'Stay in the foreground'
complete -c cron -s l -d 'Also read files in /etc/cron.d with names allowed by the Linux Standard Base (LSB)'
complete -c cron -s n -d 'Use the fully qualified host name in the subject of mail'
complete -c cron -s N -d 'Run the jobs that are due in this minute, and exit'
complete -c cron -l prefix -d 'With FILE: put the name of the job in front of each line of its output'
complete -c cron -l check -d 'Read all tables as the daemon would, report every error, and exit'
complete -c cron -l version -d 'Print the version'
complete -c cron -l help -d 'Print this help'
