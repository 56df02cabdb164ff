# shellcheck shell=sh
# Helpers for the scripts of cases. SPOOL is the directory of users' tables, DAEMON the daemon, FOREGROUND its foreground flag.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root LOGNAME=root USER=root SHELL=/bin/sh
export PATH HOME LOGNAME USER SHELL

# as USER LINE: runs a line as that user, with the environment of a new login.
as() {
    user=$1; shift
    home=$(getent passwd "$user" | cut -d: -f6)
    (cd "$home" && setpriv --reuid="$user" --regid="$user" --init-groups -- \
        env -i HOME="$home" LOGNAME="$user" USER="$user" SHELL=/bin/sh PATH="$PATH" sh -c "$*")
}

# wait_for LINE: runs the line until it succeeds, for at most 20 seconds.
wait_for() {
    tries=0
    until eval "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 400 ]; then echo "timed out: $1"; return 1; fi
        sleep 0.05
    done
}

# within SECONDS LINE: like wait_for with another limit, and without a message; for cases in which not every implementation succeeds.
within() {
    tries=0
    until eval "$2" 2>/dev/null || [ "$tries" -gt $(($1 * 20)) ]; do
        tries=$((tries + 1)); sleep 0.05
    done
}

# log: shows the log lines of this case.
log() {
    mark="mark$$.$(date +%N)"
    logger --socket /dev/log --tag user -- "$mark"
    wait_for "grep -q $mark /run/log-lines"
    tail -n +"$LOG_START" /run/log-lines | grep -v 'mark[0-9]*[.]'
}

# forget: excludes the lines that are in the log now.
forget() {
    log >/dev/null
    LOG_START=$(($(wc -l </run/log-lines) + 1))
}

# is_ready: whether the daemon has logged in this case that it has read its tables.
is_ready() {
    tail -n +"$LOG_START" /run/log-lines | grep -q -e '@reboot jobs' -e 'running with' -e 'No inotify'
}

# daemon FLAGS...: starts the daemon in the foreground, puts its PID into D, and waits until it has read its tables.
daemon() {
    # A shell without job control has its background processes ignore these.
    env --default-signal=INT,QUIT "$DAEMON" "$FOREGROUND" "$@" >/tmp/daemon.out 2>&1 &
    D=$!
    wait_for "grep -qx $D /run/crond.pid 2>/dev/null || ! kill -0 $D 2>/dev/null"
    wait_for "is_ready || ! kill -0 $D 2>/dev/null"
}

# unit: starts the daemon as the service manager would: with the unit's environment files and command line.
unit() {
    files=$(sed -n 's/^EnvironmentFile=-\{0,1\}//p' "$UNIT")
    line=$(sed -n 's/^ExecStart=//p' "$UNIT")
    env -i --default-signal=INT,QUIT PATH="$PATH" sh -c "set -a; test -e $files && . $files; exec $line" >/tmp/daemon.out 2>&1 &
    D=$!
    wait_for is_ready
}

# mail: waits for the first mail, and shows all.
mail() {
    wait_for 'ls -d /captured/* >/dev/null 2>&1'
    cat /captured/*/mail
}

# ran NAME: waits until the file of the job is not empty, and shows it.
ran() {
    wait_for "test -s /out/$1"; cat "/out/$1"
}

# syslog_file: shows the log of the case as a syslog daemon would have written it.
syslog_file() {
    log | sed -E 's/^[a-z]+\.[a-z]+ /Nov 22 10:15:00 wheelbox /'
}

# logwatch: shows logwatch's report of a log.
logwatch() {
    LOGWATCH_DETAIL_LEVEL=10 perl "$NEEDS/logwatch/usr/share/logwatch/scripts/services/cron" 2>/dev/null
}

# logcheck: shows the lines of a log that logcheck would report.
logcheck() {
    rules=$NEEDS/logcheck-database/etc/logcheck
    cat "$rules"/ignore.d.paranoid/cron "$rules"/ignore.d.server/cron | grep -v '^ *$' >/tmp/rules
    grep -E -v -f /tmp/rules
}

# stopped: waits for the daemon to end, and shows its exit status.
stopped() {
    wait "$D" 2>/dev/null; echo "daemon ended: $?"
}

# quiet: waits until no job runs. Jobs are `/bin/sh -c COMMAND`; the scripts of cases are not.
quiet() {
    wait_for '! pgrep -f "^/bin/sh -c" >/dev/null'
}

# stop: sends TERM to the daemon, and shows its exit status.
stop() {
    kill "$D"; stopped
}

# code: shows the exit status of the previous command.
code() { echo "exit $?"; }
