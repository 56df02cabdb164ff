"""Uses the pages of `cronctl web` through nginx, with TLS and a login. Says what is wrong, and fails."""

import base64
import http.client
import json
import ssl
import time

NAME = "cron.example.org"
LOGIN = "Basic " + base64.b64encode(b"admin:secret").decode()
TLS = ssl.create_default_context(cafile="/etc/ssl/cron.example.org.pem")
# The certificate has its name as the subject only.
TLS.check_hostname = False


def ask(method, path, headers=None, body=None):
    connection = http.client.HTTPSConnection("127.0.0.1", 443, timeout=20, context=TLS)
    connection.request(method, path, body, {"Host": NAME, **(headers or {})})
    return connection.getresponse()


def expect(what, found, wanted):
    assert found == wanted, f"{what}: expected {wanted}, found {found}"


until = time.monotonic() + 20
while True:
    try:
        ask("GET", "/healthz")
        break
    except ConnectionRefusedError:
        assert time.monotonic() < until, "nginx does not listen"
        time.sleep(0.05)

expect("without a login", ask("GET", "/").status, 401)
expect("with a wrong one", ask("GET", "/", {"Authorization": "Basic " + base64.b64encode(b"admin:guess").decode()}).status, 401)
page = ask("GET", "/", {"Authorization": LOGIN})
expect("with the login", page.status, 200)
assert "Overview" in page.read().decode(), "the overview"
metrics = ask("GET", "/metrics", {"Authorization": LOGIN})
assert metrics.status == 200 and b"cronwheel_up 1" in metrics.read(), "the metrics"

# A button, as the page's script presses it, and as another site would.
button = {"Authorization": LOGIN, "Content-Type": "application/json"}
for origin, status in (("https://evil.example", 403), ("https://" + NAME, 200)):
    reply = ask("POST", "/api/run", {**button, "Origin": origin}, json.dumps({"job": "alice:endless"}))
    expect("a button of " + origin, reply.status, status)
run = json.loads(reply.read())["message"].split(" as run ")[1].split(".")[0]

# Output arrives while the run goes on, so nothing collects it on the way.
output = ask("GET", f"/run/{run}/output", {"Authorization": LOGIN})
expect("the output", output.status, 200)
seen = b""
while b"begun" not in seen:
    line = output.readline()
    assert line, f"the stream has ended: {seen}"
    seen += line
events = ask("GET", "/events", {"Authorization": LOGIN})
expect("events", (events.status, events.readline()), (200, b"retry: 3000\n"))
