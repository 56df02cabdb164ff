complete -c crontab -s u -l user -d 'Whose table it is about; root only, unless it is your own name' -r -f -a "(__fish_complete_users)"
complete -c crontab -l profile -d 'As which cron: debian or cronie' -r
complete -c crontab -l spool -d 'The users\' tables' -r -F
complete -c crontab -l run-dir -d 'The daemon\'s run directory' -r -F
complete -c crontab -s l -l list -d 'List the table'
complete -c crontab -s r -l remove -d 'Remove the table'
complete -c crontab -s e -l edit -d 'Edit the table with $VISUAL or $EDITOR'
complete -c crontab -s i -l interactive -d 'With -r: ask first'
complete -c crontab -s n -l dry-run -d 'Only check the new table'
complete -c crontab -s h -l usage -d 'Print how it is called, and fail'
complete -c crontab -l version -d 'Print the version'
complete -c crontab -l help -d 'Print this help'
