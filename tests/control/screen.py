# Runs a program on a terminal of 80 columns and 24 rows: screen.py STEPS PROGRAM ARGUMENT...
# STEPS is JSON, [[TEXT, ACTION], ...]: when the screen has TEXT (or, with a leading "!", has it no more), ACTION is done: keys are typed,
# "@TERM" and the like is a signal to the program, "+PATH" makes a file, "=COLUMNSxROWS" sets the size. Prints JSON: the screen at each step, the last
# one, the exit status as a shell has it, whether the modes of the terminal are as before, and whether its first screen is shown, with the cursor.
import fcntl, json, os, pty, re, select, signal, struct, sys, termios, time

LIMIT = 60


class Screen:
    """As much of a terminal as the program uses."""

    def __init__(self, columns, rows):
        self.columns, self.rows, self.rest = columns, rows, ""
        self.is_other, self.has_cursor, self.unknown = False, True, []
        self.clear()

    def clear(self):
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.x = self.y = 0

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        while text:
            found = re.match(r"\x1b\[([?0-9;:]*)([A-Za-z])", text)
            if found:
                self.command(*found.groups())
                text = text[found.end():]
            elif text[0] == "\x1b":
                if re.fullmatch(r"\x1b(\[[?0-9;:]*)?", text):
                    self.rest = text
                    return
                self.unknown.append(text[:8])
                text = text[1:]
            else:
                self.letter(text[0])
                text = text[1:]

    def letter(self, letter):
        if letter == "\r":
            self.x = 0
        elif letter == "\n":
            self.y = min(self.y + 1, self.rows - 1)
        elif letter < " ":
            self.unknown.append(letter)
        elif self.y < self.rows and self.x < self.columns:
            self.cells[self.y][self.x] = letter
            self.x += 1

    def command(self, arguments, letter):
        numbers = [int(number or 0) for number in arguments.lstrip("?").split(";")] if arguments.strip("?") else []
        if letter == "H":
            row, column = (numbers + [1, 1])[:2] if numbers else (1, 1)
            self.y, self.x = row - 1, column - 1
        elif letter == "J":
            self.clear()
        elif letter == "K":
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
        elif letter in "hl" and arguments == "?1049":
            self.is_other = letter == "h"
            self.clear()
        elif letter in "hl" and arguments == "?25":
            self.has_cursor = letter == "h"
        elif letter != "m":
            self.unknown.append(arguments + letter)


def set_size(terminal, columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


steps = json.loads(sys.argv[1])
master, slave = pty.openpty()
set_size(slave, 80, 24)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.close(master)
    os.login_tty(slave)
    os.execvp(sys.argv[2], sys.argv[2:])

def drain():
    """Takes what has been written."""
    while select.select([master], [], [], 0.01)[0]:
        screen.feed(os.read(master, 65536).decode(errors="replace"))


screen, seen, status, until = Screen(80, 24), [], None, time.monotonic() + LIMIT
failed = None
while status is None:
    while steps:
        wanted, action = steps[0]
        has = (wanted[1:] not in screen.text()) if wanted.startswith("!") else (wanted in screen.text())
        if not has:
            break
        steps.pop(0)
        seen.append(screen.text())
        if action.startswith("@"):
            os.kill(pid, getattr(signal, "SIG" + action[1:]))
        elif action.startswith("+"):
            open(action[1:], "w").close()
        elif action.startswith("="):
            columns, rows = map(int, action[1:].split("x"))
            screen = Screen(columns, rows)
            set_size(slave, columns, rows)
        else:
            os.write(master, action.encode())
    ended, how = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    if ended and os.WIFSTOPPED(how):
        # Stopped as by the shell. Its terminal is looked at, and it goes on.
        drain()
        seen.append("stopped " + json.dumps([termios.tcgetattr(slave) == before, screen.is_other]))
        os.kill(pid, signal.SIGCONT)
    elif ended:
        status = os.waitstatus_to_exitcode(how)
    if select.select([master], [], [], 0.05)[0]:
        # Also what belongs to the same drawing.
        drain()
    if time.monotonic() > until and status is None:
        failed = "never shown: " + repr(steps[:1])
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({
    "screens": seen, "last": screen.text(), "status": status if status >= 0 else 128 - status, "failed": failed,
    "modes_restored": termios.tcgetattr(slave) == before, "is_other_screen": screen.is_other, "has_cursor": screen.has_cursor,
    "unknown": screen.unknown, "left": steps,
}))
