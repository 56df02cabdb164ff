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
    until eval "$1"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 400 ]; then echo "waited in vain for: $1"; return 1; fi
        sleep 0.05
    done
}

# log: what this case has made programs say to the log.
log() {
    mark="mark$$.$(date +%N)"
    logger --socket /dev/log --tag user -- "$mark"
    wait_for "grep -q $mark /run/log-lines"
    tail -n +"$LOG_START" /run/log-lines | grep -v 'mark[0-9]*[.]'
}

# is_ready: whether the daemon has said in this case that it has read its tables.
is_ready() {
    tail -n +"$LOG_START" /run/log-lines | grep -q -e '@reboot jobs' -e 'running with'
}

# daemon FLAGS...: starts it in the foreground, its PID in D, until it has its PID file and has read its tables.
daemon() {
    # A shell without job control has its background processes ignore these.
    env --default-signal=INT,QUIT "$DAEMON" "$FOREGROUND" "$@" >/tmp/daemon.out 2>&1 &
    D=$!
    wait_for "grep -qx $D /run/crond.pid 2>/dev/null || ! kill -0 $D 2>/dev/null"
    wait_for "is_ready || ! kill -0 $D 2>/dev/null"
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
