complete -c crontab -s u -l user -d 'User whose crontab to use; only root may name another user' -r -f -a "(__fish_complete_users)"
complete -c crontab -l profile -d 'Behave like Debian\'s cron (debian) or like cronie (cronie)' -r
complete -c crontab -l spool -d 'Directory of users\' crontabs' -r -F
complete -c crontab -l run-dir -d 'The daemon\'s run directory, instead of /run' -r -F
complete -c crontab -s l -l list -d 'Print the crontab'
complete -c crontab -s r -l remove -d 'Remove the crontab'
complete -c crontab -s e -l edit -d 'Edit the crontab with $VISUAL or $EDITOR'
complete -c crontab -s i -l interactive -d 'With -r: ask before removing'
complete -c crontab -s n -l dry-run -d 'Only check FILE, do not install it'
complete -c crontab -s h -l usage -d 'Print usage and exit with an error'
complete -c crontab -l version -d 'Print the version'
complete -c crontab -l help -d 'Print this help'
