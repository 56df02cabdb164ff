" Vim syntax file
" Language:    crontab(5) as cronwheel reads it
" Put this folder's parent into 'runtimepath'.

if exists("b:current_syntax")
  finish
endif

syntax case match

syntax match  crontabComment  /^\s*#.*/ contains=@Spell
syntax match  crontabName     /^\s*[^=#"' \t][^= \t]*\ze\s*=/ nextgroup=crontabAssign skipwhite
syntax match  crontabSetting  /^\s*\(SHELL\|HOME\|PATH\|MAILTO\|MAILFROM\|CONTENT_TYPE\|CONTENT_TRANSFER_ENCODING\|CRON_TZ\|RANDOM_DELAY\)\ze\s*=/ nextgroup=crontabAssign skipwhite
syntax match  crontabSetting  /^\s*CRON_\(NAME\|ENABLED\|OVERLAP\|GROUP\|TIMEOUT\|GRACE\|RETRY\|SUCCESS\|FAIL_ON\|CATCHUP\|EXCEPT\|LATE\|MAIL\|ON_FAILURE\|ON_SUCCESS\|ON_RECOVERY\|ON_LATE\|ALERT\|PING\|LIMITS\|HISTORY\|FLEET_NODES\|FLEET_ORDER\|FLEET_AWAY\|FLEET\)\ze\s*=/ nextgroup=crontabAssign skipwhite
syntax match  crontabAssign   /=/ contained nextgroup=crontabValue skipwhite
syntax match  crontabValue    /.*$/ contained

syntax match  crontabNick     /^\s*-\?@\(yearly\|annually\|monthly\|weekly\|daily\|midnight\|hourly\|reboot\|every_minute\|every_second\)\>/ nextgroup=crontabCommand skipwhite
syntax match  crontabNick     /^\s*-\?@\d\+[smhd]\?\>/ nextgroup=crontabCommand skipwhite
syntax match  crontabNick     /^\s*-\?@quartz\>\(\s\+\S\+\)\{7}/ nextgroup=crontabCommand skipwhite
syntax match  crontabNick     /^\s*-\?@after\s\+\S\+/ nextgroup=crontabCommand skipwhite
syntax match  crontabFields   /^\s*-\?[0-9*~]\S*\(\s\+\S\+\)\{4}/ contains=crontabOperator,crontabWord,crontabNumber nextgroup=crontabCommand skipwhite
syntax match  crontabOperator /[*,\/~#-]/ contained
syntax match  crontabNumber   /\d\+/ contained
syntax case ignore
syntax keyword crontabWord contained jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat
syntax case match
syntax match  crontabCommand  /.*$/ contained contains=crontabPercent,crontabFlag
syntax match  crontabFlag     /\%(^\|\s\)\zs-[nqs]\ze\s/ contained
syntax match  crontabPercent  /\\\@<!%/ contained

highlight default link crontabComment  Comment
highlight default link crontabName     Identifier
highlight default link crontabSetting  PreProc
highlight default link crontabAssign   Operator
highlight default link crontabValue    String
highlight default link crontabNick     Keyword
highlight default link crontabFields   Type
highlight default link crontabOperator Operator
highlight default link crontabNumber   Number
highlight default link crontabWord     Constant
highlight default link crontabCommand  Normal
highlight default link crontabFlag     Special
highlight default link crontabPercent  Special

let b:current_syntax = "crontab"
