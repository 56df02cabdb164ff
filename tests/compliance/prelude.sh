# shellcheck shell=sh
# Helpers for the scripts of cases; sourced, with the table's place in SPOOL, the daemon in DAEMON, its foreground flag in FOREGROUND.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root LOGNAME=root USER=root SHELL=/bin/sh
export PATH HOME LOGNAME USER SHELL

# as USER LINE: runs a line as that user, logged in freshly.
as() {
    user=$1; shift
    home=$(getent passwd "$user" | cut -d: -f6)
    (cd "$home" && setpriv --reuid="$user" --regid="$user" --init-groups -- \
        env -i HOME="$home" LOGNAME="$user" USER="$user" SHELL=/bin/sh PATH="$PATH" sh -c "$*")
}

# wait_for LINE: until it succeeds, at most 20 seconds.
wait_for() {
    tries=0
    until eval "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 400 ]; then echo "waited in vain for: $1"; return 1; fi
        sleep 0.05
    done
}

# within SECONDS LINE: until it succeeds, but no longer; where one subject says something and another nothing.
within() {
    tries=0
    until eval "$2" 2>/dev/null || [ "$tries" -gt $(($1 * 20)) ]; do
        tries=$((tries + 1)); sleep 0.05
    done
}

# log: what this case has made programs say to the log.
log() {
    mark="mark$$.$(date +%N)"
    logger --socket /dev/log --tag user -- "$mark"
    wait_for "grep -q $mark /run/log-lines"
    tail -n +"$LOG_START" /run/log-lines | grep -v 'mark[0-9]*[.]'
}

# forget: what has been said so far is none of the case.
forget() {
    log >/dev/null
    LOG_START=$(($(wc -l </run/log-lines) + 1))
}

# is_ready: whether the daemon has said in this case that it has read its tables.
is_ready() {
    tail -n +"$LOG_START" /run/log-lines | grep -q -e '@reboot jobs' -e 'running with' -e 'No inotify'
}

# daemon FLAGS...: starts it in the foreground, its PID in D, until it has its PID file and has read its tables.
daemon() {
    # A shell without job control has its background processes ignore these.
    env --default-signal=INT,QUIT "$DAEMON" "$FOREGROUND" "$@" >/tmp/daemon.out 2>&1 &
    D=$!
    wait_for "grep -qx $D /run/crond.pid 2>/dev/null || ! kill -0 $D 2>/dev/null"
    wait_for "is_ready || ! kill -0 $D 2>/dev/null"
}

# unit: starts the daemon as the service manager would: with the variables of the unit's environment files, by its command line.
unit() {
    files=$(sed -n 's/^EnvironmentFile=-\{0,1\}//p' "$UNIT")
    line=$(sed -n 's/^ExecStart=//p' "$UNIT")
    env -i --default-signal=INT,QUIT PATH="$PATH" sh -c "set -a; test -e $files && . $files; exec $line" >/tmp/daemon.out 2>&1 &
    D=$!
    wait_for is_ready
}

# mail: waits for the first one.
mail() {
    wait_for 'ls -d /captured/* >/dev/null 2>&1'
    cat /captured/*/mail
}

# ran NAME: waits until the job has left that file, with something in it, and shows it.
ran() {
    wait_for "test -s /out/$1"; cat "/out/$1"
}

# syslog_file: the case's log as a syslog daemon would have written it.
syslog_file() {
    log | sed -E 's/^[a-z]+\.[a-z]+ /Nov 22 10:15:00 wheelbox /'
}

# logwatch: the report that logwatch makes of a log.
logwatch() {
    LOGWATCH_DETAIL_LEVEL=10 perl "$NEEDS/logwatch/usr/share/logwatch/scripts/services/cron" 2>/dev/null
}

# logcheck: what logcheck leaves of a log for the administrator to read.
logcheck() {
    rules=$NEEDS/logcheck-database/etc/logcheck
    cat "$rules"/ignore.d.paranoid/cron "$rules"/ignore.d.server/cron | grep -v '^ *$' >/tmp/rules
    grep -E -v -f /tmp/rules
}

# stopped: waits for the daemon's end, and shows how it was.
stopped() {
    wait "$D" 2>/dev/null; echo "daemon ended: $?"
}

# quiet: until no job runs. Jobs are `/bin/sh -c COMMAND`; the scripts of cases are not.
quiet() {
    wait_for '! pgrep -f "^/bin/sh -c" >/dev/null'
}

# stop: asks the daemon to end, and shows how it did.
stop() {
    kill "$D"; stopped
}

# code: shows the exit code of what was run before it.
code() { echo "exit $?"; }
