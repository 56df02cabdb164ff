# Runs a command on a terminal of its own: terminal.py STEPS COMMAND ARGUMENT...
# STEPS is JSON, [[TEXT, KEYS], ...]: when TEXT has appeared since the step before, KEYS are typed. A key that sends a signal is
# typed again each second until the next text appears, since a program may not be ready for it. What the terminal showed is
# printed at the end; the exit status is the command's, 128 and the signal's number if a signal ended it, 124 after 60 seconds.
import json, os, pty, select, sys, time

steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, unseen, until = b"", b"", time.monotonic() + 60
status, again = None, b""
while status is None:
    while steps and steps[0][0].encode() in unseen:
        text, keys = steps.pop(0)
        unseen = unseen.split(text.encode(), 1)[1]
        os.write(terminal, keys.encode())
        again = keys.encode() if keys in ("\x03", "\x1c") else b""
    ready = select.select([terminal], [], [], min(1, max(0, until - time.monotonic())))[0]
    if not ready and time.monotonic() < until:
        os.write(terminal, again)
        continue
    if not ready:
        os.kill(pid, 9)
        status = 124
        break
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        piece = b""
    if not piece:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    shown += piece
    unseen += piece
sys.stdout.buffer.write(shown)
if steps:
    print("\nnever shown:", repr(steps[0][0]))
sys.exit(status if status >= 0 else 128 - status)
