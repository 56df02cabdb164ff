"""Uses the pages of `cronctl web` in Chromium, through chromedriver: REDIRECT-FILE HOST AXE. Says what is wrong, and fails."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

REDIRECT, HOST, AXE = sys.argv[1:4]
SITE = "http://" + HOST
DRIVER = "http://127.0.0.1:9515"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What the browser may ask for besides the site: nothing but the file that --open makes.
OWN = (SITE + "/", "file://" + REDIRECT)


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
        directory = os.environ.get("SHOTS")
        if directory:
            shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
            with open(f"{directory}/{name}.png", "wb") as file:
                file.write(base64.b64decode(shot))

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


def main(browser):
    with open(AXE, encoding="utf-8") as file:
        axe = file.read()
    # The file that --open makes signs in, and the address has no secret then.
    browser.open("file://" + REDIRECT)
    browser.wait("the overview", lambda: browser.run("return location.href") == SITE + "/" and "Overview" in browser.text())
    check_logs(browser)

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
    pages = {"overview": "/", "jobs": "/jobs", "job": "/job/alice:fails", "hostile": "/job/alice:hostile", "run": run,
             "timeline": "/timeline", "fleet": "/fleet"}
    for name, path in pages.items():
        look_at(browser, axe, name, path)
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
        main(opened)
    finally:
        opened.end()
