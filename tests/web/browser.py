"""Uses the pages of `cronctl web` in Chromium, through chromedriver: PART START HOST [WHO]. Says what is wrong, and fails.

START is the address that signs in, or the file that --open makes."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

PART, START, HOST = sys.argv[1:4]
WHO = sys.argv[4] if len(sys.argv) > 4 else ""
AXE = "/run/axe.js"
SITE = "http://" + HOST
DRIVER = "http://127.0.0.1:9515"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What the browser may ask for besides the site: nothing but the file that --open makes.
OWN = (SITE + "/", START)


def driver(method, path, body=None):
    data = json.dumps(body or {}).encode() if method == "POST" else None
    request = urllib.request.Request(DRIVER + path, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{path}: {error.read().decode()[:800]}") from None


class Browser:
    def __init__(self):
        self.process = subprocess.Popen(["chromedriver", "--port=9515"], stdout=subprocess.DEVNULL)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", 9515)).close()
                break
            except OSError:
                time.sleep(0.1)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
                     "--no-first-run", "--disable-background-networking", "--disable-component-update"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments},
                  "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = driver("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def ask(self, path, body=None, method="POST"):
        return driver(method, f"/session/{self.session}{path}", body)

    def open(self, address):
        self.ask("/url", {"url": address})

    def run(self, code, *arguments):
        return self.ask("/execute/sync", {"script": code, "args": list(arguments)})

    def cdp(self, command, **parameters):
        return self.ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def text(self):
        return self.run("return document.body.innerText")

    def wait(self, what, test):
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            found = test()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{what} did not happen; the page is now:\n{self.text()}")

    def wait_for_text(self, text):
        self.wait(text, lambda: text in self.text())

    def press(self, words):
        code = """const all = [...document.querySelectorAll("button")].filter((b) => b.textContent.trim() === arguments[0] && b.offsetParent);
                  if (all.length === 1) all[0].click(); return all.length;"""
        self.wait(f"a button {words}", lambda: self.run(code, words) == 1)

    def keys(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def focused(self):
        return self.run("const e = document.activeElement; return e.id || e.textContent.trim() || e.tagName")

    def size(self, width, dark):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)

    def shoot(self, name):
        """Prints a picture of the page as a line, for whoever asks for them: the machine of the test keeps no files."""
        if os.environ.get("SHOTS"):
            shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
            print(f"SHOT {name} {shot}")

    def end(self):
        try:
            self.ask("", method="DELETE")
        finally:
            self.process.terminate()


def look_at(browser, axe, name, path):
    """A page in light, dark and narrow: nothing for axe to find, nothing wider than the window."""
    browser.open(SITE + path)
    for kind, width, dark in (("light", 1280, False), ("dark", 1280, True), ("narrow", 360, False)):
        browser.size(width, dark)
        browser.shoot(f"{name}-{kind}")
        wider = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{name}, {kind}: {wider} pixels wider than the window"
        code = axe + """; const done = arguments[arguments.length - 1];
            axe.run(document, { runOnly: arguments[0] }).then((result) => done(result.violations.map(
                (found) => found.id + ": " + found.help + ": " + found.nodes.map((node) => node.html.slice(0, 200)).join(" | "))))"""
        found = browser.ask("/execute/async", {"script": code, "args": [RULES]})
        assert not found, f"{name}, {kind}: axe: " + "\n".join(found)
    browser.size(1280, False)


def check_logs(browser, allowed=()):
    errors = [entry["message"] for entry in browser.ask("/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]
    errors = [error for error in errors if not any(text in error for text in allowed)]
    assert not errors, "errors of scripts: " + "\n".join(errors)
    for entry in browser.ask("/se/log", {"type": "performance"}):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            assert address.startswith(OWN) or address.startswith(("data:", "about:", "chrome:", "chrome-")), f"a request to {address}"


def sign_in(browser):
    """The address has no secret then."""
    browser.open(START)
    browser.wait("the overview", lambda: browser.run("return location.href") == SITE + "/" and "Overview" in browser.text())
    check_logs(browser)


def buttons(browser):
    """The words of the buttons that can be seen in the page."""
    return browser.run("return [...document.querySelectorAll('main button')].filter((b) => b.offsetParent).map((b) => b.textContent.trim())")


def rights(browser):
    """What root, a user, and root with --read-only see and can do, in this order."""
    sign_in(browser)
    is_root = WHO != "alice"
    for path in ("/jobs", "/timeline?length=3d"):
        browser.open(SITE + path)
        shown = browser.text()
        assert ("daily" in shown) and ("often" in shown) == is_root, f"{WHO}: {path}: {shown}"
    browser.open(SITE + "/job/bob:often")
    assert ("There is no job" in browser.text() or "no job" in browser.text().lower()) != is_root, f"{WHO}: {browser.text()}"
    if WHO == "read-only":
        for job in ("alice:hello", "alice:slow", "bob:often"):
            browser.open(SITE + "/job/" + job)
            shown = browser.text()
            assert set(buttons(browser)) <= {"Check this line"} and "read-only" in shown and "cronctl run" not in shown, f"{buttons(browser)}: {shown}"
        code = """const done = arguments[arguments.length - 1];
                  fetch("/api/run", { method: "POST", headers: { "content-type": "application/json" }, body: '{"job":"alice:hello"}' })
                      .then((reply) => done(reply.status))"""
        status = browser.ask("/execute/async", {"script": code, "args": []})
        assert status == 403, status
        return
    if is_root:
        # Another user's job, one of the system, and a pause that its owner cannot end.
        browser.press("Pause")
        browser.wait_for_text("Paused by root")
        browser.press("Resume")
        browser.wait("the end of the pause", lambda: "Paused by root" not in browser.text())
        browser.open(SITE + "/job/alice:slow")
        browser.press("Pause")
        browser.wait_for_text("Paused by root")
    else:
        browser.open(SITE + "/job/alice:daily")
        assert "Run now" not in buttons(browser), f"an entry of the system: {buttons(browser)}"
        browser.open(SITE + "/job/alice:slow")
        browser.wait_for_text("Paused by root")
        browser.press("Resume")
        browser.wait("a refusal", lambda: "root" in browser.run("return document.getElementById('toast').innerText"))
        assert "Paused by root" in browser.text(), browser.text()
    browser.open(SITE + "/job/alice:hello")
    browser.press("Run now")
    browser.wait_for_text("Started alice:hello as run ")
    check_logs(browser, allowed=("404", "403"))


def many(browser):
    """Pages of ten thousand jobs."""
    sign_in(browser)
    browser.open(SITE + "/jobs")
    for page in (2, 3):
        browser.run("document.querySelector('a[rel=next]').click()")
        browser.wait_for_text(f"page {page} of 201")
    browser.run("document.querySelector('a[rel=prev]').click()")
    browser.wait_for_text("page 2 of 201")
    browser.open(SITE + "/jobs?page=200")
    browser.run("document.querySelector('a[rel=next]').click()")
    browser.wait_for_text("page 201 of 201")
    assert browser.run("return document.querySelector('a[rel=next]')") is None
    browser.wait_for_text("10001–10006 of 10006 jobs")
    browser.run("document.querySelector('input[type=search]').value = 'job-9999'; document.querySelector('form.filter button').click()")
    browser.wait_for_text("1–1 of 1 job")
    browser.open(SITE + "/timeline?length=1d")
    browser.wait_for_text("Starts a minute")
    check_logs(browser)
    refused_events(browser)


def refused_events(browser):
    """As many pages are open as may follow events: one more says that it does not, and goes on by itself."""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in browser.ask("/cookie", method="GET"))
    port = HOST.rsplit(":", 1)[1]
    browser.open("about:blank")
    streams = []
    for _ in range(60):
        stream = socket.create_connection(("127.0.0.1", int(port)), timeout=20)
        stream.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookies}\r\n\r\n".encode())
        streams.append(stream)
        if b" 503 " in stream.recv(64):
            break
    else:
        raise AssertionError("no stream was refused")
    browser.open(SITE + "/jobs")
    browser.wait_for_text("Live updates are refused: ")
    browser.shoot("refused")
    for stream in streams:
        stream.close()
    browser.wait("live updates", lambda: "Live updates are refused" not in browser.text())
    check_logs(browser, allowed=("503",))


def screenshots(browser):
    """The pictures of the README, as lines."""
    sign_in(browser)
    browser.cdp("Emulation.setScrollbarsHidden", hidden=True)
    for name, path, height in (("overview", "/", 700), ("timeline", "/timeline?length=6h", 610)):
        browser.cdp("Emulation.setDeviceMetricsOverride", width=1160, height=height, deviceScaleFactor=1, mobile=False)
        browser.open(SITE + path)
        browser.wait_for_text("backup")
        shot = browser.cdp("Page.captureScreenshot", format="webp", quality=80)["data"]
        print(f"SHOT {name} {shot}")
    check_logs(browser)


def pages(browser):
    with open(AXE, encoding="utf-8") as file:
        axe = file.read()
    sign_in(browser)

    # By keyboard alone: past the navigation, and to a page.
    browser.run("document.activeElement.blur()")
    browser.keys("\ue004")
    assert browser.focused() == "Skip to content", browser.focused()
    browser.keys("\ue007")
    assert browser.focused() == "main", browser.focused()
    browser.open(SITE + "/")
    browser.keys("\ue004", "\ue004", "\ue004", "\ue004")
    assert browser.focused() == "Jobs", browser.focused()
    browser.keys("\ue007")
    browser.wait("the jobs", lambda: browser.run("return location.pathname") == "/jobs")

    # A run with its live output, and its end.
    browser.open(SITE + "/job/alice:endless")
    browser.press("Run now")
    browser.wait_for_text("Started alice:endless as run ")
    browser.wait_for_text("End the run")
    browser.wait("live output", lambda: browser.run("return (document.querySelector('pre[data-follow]') || {}).textContent") == "begun\n")
    look_at(browser, axe, "live", "/job/alice:endless")
    browser.press("End the run")
    browser.press("Really end it?")
    browser.wait_for_text("killed by")

    # A pause and its end.
    browser.press("Pause")
    browser.wait_for_text("Paused by alice")
    browser.press("Resume")
    browser.wait("the end of the pause", lambda: "Paused by alice" not in browser.text())

    # The overview shows by itself that something fails.
    browser.open(SITE + "/")
    subprocess.run(["cronctl", "run", "--wait", "fails"], check=False, stdout=subprocess.DEVNULL)
    browser.wait_for_text("Needs attention")
    subprocess.run(["cronctl", "run", "--wait", "hello"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cronctl", "run", "--wait", "hostile"], check=True, stdout=subprocess.DEVNULL)

    # A line is checked.
    browser.open(SITE + "/check")
    browser.run("document.querySelector('textarea').value = '0 24 * * * x'")
    browser.press("Check this line")
    browser.wait_for_text("expected an hour from 0 to 23, found 24")
    browser.run("document.querySelector('textarea').value = '30 2 * * mon-fri /bin/true'")
    browser.press("Check this line")
    browser.wait_for_text("At 02:30")
    look_at(browser, axe, "check", "/check")

    run = browser.run("return fetch('/job/alice:hostile').then((r) => r.text()).then((t) => t.match(/\\/run\\/\\d+/)[0])")
    addresses = {"overview": "/", "jobs": "/jobs", "job": "/job/alice:fails", "hostile": "/job/alice:hostile", "run": run,
             "timeline": "/timeline", "month-by-user": "/timeline?length=30d&by=user", "fleet": "/fleet"}
    for name, path in addresses.items():
        look_at(browser, axe, name, path)
    # On a narrow screen the drawing keeps its size, and where it is scrolled to, when it is replaced.
    browser.size(360, False)
    browser.open(SITE + "/timeline")
    shown, box = browser.run("""const box = document.querySelector("#picture .scroll");
                                return [box.firstElementChild.getBoundingClientRect().width, box.clientWidth]""")
    now = browser.run("return document.querySelector('.tl-now-line').getBoundingClientRect().left")
    assert 0 < now < 360, f"now is at {now}"
    assert shown > 1000 > 360 > box, f"{shown} in {box}"
    browser.open(SITE + "/timeline?length=30d&by=user")
    hidden = browser.run("const facts = document.querySelector('#facts .scroll'); return facts.scrollWidth - facts.clientWidth")
    assert hidden <= 0, f"{hidden} pixels of the table are hidden"
    browser.open(SITE + "/timeline")
    browser.run("""const box = document.querySelector("#picture .scroll"); box.scrollLeft = 300; box.parentElement.dataset.old = ''""")
    # The drawing has the colours of the page.
    colours = browser.run("""const of = (name) => getComputedStyle(document.querySelector(name));
                             return [of("#picture").backgroundColor, of(".tl-paper").fill, of("body").color, of("text.tl-ink").fill]""")
    assert colours[0] == colours[1] and colours[2] == colours[3], colours
    subprocess.run(["cronctl", "run", "--wait", "hello"], check=True, stdout=subprocess.DEVNULL)
    browser.wait("a new drawing", lambda: browser.run("return !('old' in document.getElementById('picture').dataset)"))
    assert browser.run("return document.querySelector('#picture .scroll').scrollLeft") == 300
    browser.size(1280, False)
    assert browser.run("return document.querySelectorAll('main script').length") == 0
    check_logs(browser)
    look_at(browser, axe, "missing", "/job/nobody:nothing")

    # Without a script there are commands in place of buttons.
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(SITE + "/job/alice:fails")
    shown = browser.ask("/source", method="GET")
    assert "cronctl run alice:fails" in shown and "failed (exit 3)" in shown
    visible = browser.cdp("DOM.getDocument", depth=0)["root"]["nodeId"]
    button = browser.cdp("DOM.querySelector", nodeId=visible, selector="button")["nodeId"]
    try:
        browser.cdp("DOM.getBoxModel", nodeId=button)
        raise SystemExit("a button is visible without a script")
    except AssertionError:
        pass
    browser.shoot("no-script")
    browser.cdp("Emulation.setScriptExecutionDisabled", value=False)

    # The daemon is stopped while a page is open.
    browser.open(SITE + "/")
    with open("/tmp/stop", "w", encoding="utf-8"):
        pass
    browser.wait_for_text("The daemon does not answer")
    look_at(browser, axe, "stopped", "/jobs")


if __name__ == "__main__":
    opened = Browser()
    try:
        {"pages": pages, "rights": rights, "many": many, "screenshots": screenshots}[PART](opened)
    finally:
        opened.end()
