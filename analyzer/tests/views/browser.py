"""Drives a headless Chromium over its debugging pipe: no packages, no ports.

usage: browser.py CHROMIUM PAGE.html     prints what it saw as one JSON object
"""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update
--disable-background-networking --disable-sync --disable-dev-shm-usage --remote-debugging-pipe""".split()
NAMED = {"button", "link", "image", "img", "article", "navigation", "region", "figure", "table"}


class Browser:
    def __init__(self, program, profile):
        # Out of the way of 3 and 4, from which the browser reads and to which it writes.
        def high(fd):
            moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
            os.close(fd)
            return moved

        (read, ours), (theirs, write) = (map(high, os.pipe()) for _ in range(2))
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            close_fds=False,
            preexec_fn=lambda: (os.dup2(read, 3), os.dup2(write, 4)),
            stderr=subprocess.DEVNULL,
        )
        os.close(read), os.close(write)
        self.write, self.read = os.fdopen(ours, "wb", 0), os.fdopen(theirs, "rb")
        self.last, self.session, self.seen = 0, None, []

    def next(self):
        message = bytearray()
        while (byte := self.read.read(1)) != b"\0":
            if not byte:
                raise SystemExit("the browser went away")
            message += byte
        return json.loads(message)

    def call(self, method, **params):
        self.last += 1
        call = {"id": self.last, "method": method, "params": params}
        if self.session:
            call["sessionId"] = self.session
        self.write.write(json.dumps(call).encode() + b"\0")
        while (message := self.next()).get("id") != self.last:
            self.seen.append(message)
        if "error" in message:
            raise SystemExit(f"{method}: {message['error']}")
        return message["result"]

    def until(self, event):
        while not any(m.get("method") == event for m in self.seen):
            self.seen.append(self.next())

    def eval(self, code):
        return self.call("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

    def key(self, key):
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def main(program, page):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        b = Browser(program, profile)
        try:
            print(json.dumps(look(b, page)))
        finally:
            b.process.kill()
            b.process.wait()


def look(b, page):
    target = b.call("Target.createTarget", url="about:blank")["targetId"]
    b.session = b.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
        b.call(f"{domain}.enable")
    url = pathlib.Path(page).resolve().as_uri()
    b.call("Page.navigate", url=url)
    b.until("Page.loadEventFired")
    out = {}
    view = "document.querySelector('figure.timeline svg')?.getAttribute('viewBox')"
    out["whole"] = b.eval(view)
    out["tools"] = b.eval("[...document.querySelectorAll('.tools')].every((t) => !t.hidden)")
    b.eval("document.querySelector('figure.timeline .rows').focus()")
    b.key("+")
    out["zoomed"] = b.eval(view)
    b.key("ArrowRight")
    out["moved"] = b.eval(view)
    b.key("0")
    out["reset"] = b.eval(view)
    b.eval("document.activeElement.blur()")
    b.key("j")
    out["first"] = b.eval("document.activeElement.id")
    b.key("j")
    out["second"] = b.eval("document.activeElement.id")
    b.key("k")
    out["back"] = b.eval("document.activeElement.id")
    out["images"] = b.eval("document.images.length + document.querySelectorAll('iframe, object').length")
    out["scripts"] = b.eval("document.scripts.length")
    b.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    out["phone_overflow"] = b.eval("document.documentElement.scrollWidth - innerWidth")
    colour = "getComputedStyle(document.body).backgroundColor"
    schemes = {}
    for scheme in ("light", "dark"):
        b.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        schemes[scheme] = b.eval(colour)
    out["schemes"] = schemes
    tree = b.call("Accessibility.getFullAXTree")["nodes"]
    shown = [n for n in tree if not n.get("ignored") and n.get("role", {}).get("value") in NAMED]
    nameless = [n["role"]["value"] for n in shown if not n.get("name", {}).get("value")]
    out["named"], out["nameless"] = len(shown) - len(nameless), nameless
    asked = [m["params"]["request"]["url"] for m in b.seen if m.get("method") == "Network.requestWillBeSent"]
    out["requests"] = [u for u in asked if u != url and not u.startswith("data:")]
    bad = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
    out["complaints"] = [m for m in b.seen if m.get("method") in bad]
    return out


# A browser that does not answer is a failure, not a wait.
signal.alarm(100)
main(*sys.argv[1:])
