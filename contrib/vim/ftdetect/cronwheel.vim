" Tables by name: what crontab -e edits, /etc/crontab, /etc/cron.d and files that end in .crontab.
autocmd BufRead,BufNewFile *.crontab,crontab,crontab.*,*/etc/cron.d/* setfiletype crontab
