"""What tests of people share: how they answer, and a headless Chromium, driven through its DevTools, where there is one."""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One process of Chromium with a profile of its own."""

    def __init__(self, folder):
        if CHROMIUM is None:
            pytest.skip("needs Chromium")
        options = "--headless=new --no-sandbox --disable-gpu --remote-debugging-port=0 --no-first-run --hide-scrollbars"
        command = [CHROMIUM, *options.split(), "--disable-dev-shm-usage", f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = folder / "DevToolsActivePort"
        wait_for(lambda: port_file.exists() and port_file.read_text().count("\n") >= 1, 30, "Chromium starts")
        self._pages = contextlib.ExitStack()
        self._port = int(port_file.read_text().splitlines()[0])

    def open(self, url, width=1000, height=800, phone=False):
        """A page in a tab of its own."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            page = self._pages.enter_context(contextlib.closing(Page(json.load(answer)["webSocketDebuggerUrl"])))
        shown = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        page.command("Emulation.setDeviceMetricsOverride", **shown)
        if phone:
            page.command("Emulation.setTouchEmulationEnabled", enabled=True)
        page.go(url)
        return page

    def close(self):
        self._pages.close()
        self._process.terminate()
        self._process.wait(20)


class Page:
    """A tab."""

    def __init__(self, address):
        from websockets.sync.client import connect

        self._closing = contextlib.ExitStack()
        self._socket = self._closing.enter_context(connect(address, max_size=None, compression=None))
        self._numbers = itertools.count(1)
        self.errors = []  # what scripts raised, and what a policy refused
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method, **params):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            heard = json.loads(self._socket.recv(timeout=30))
            if heard.get("method") == "Runtime.exceptionThrown":
                self.errors.append(heard["params"]["exceptionDetails"])
            if heard.get("method") == "Log.entryAdded" and heard["params"]["entry"]["source"] == "security":
                self.errors.append(heard["params"]["entry"]["text"])
            if heard.get("id") == number:
                assert "error" not in heard, heard
                return heard["result"]

    def go(self, url):
        self.command("Page.navigate", url=url)

    def reload(self):
        self.command("Page.reload")

    def run(self, script):
        """What an expression is, as JSON has it."""
        told = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def text(self, selector="body"):
        return self.run(f"(document.querySelector({json.dumps(selector)}) ?? {{}}).innerText ?? ''")

    def sees(self, words, selector="body", seconds=20):
        """Wait until the words are on the page."""
        wait_for(lambda: words in self.text(selector), seconds, lambda: f"{words!r} is on the page: {self.text()!r:.900}")

    def click(self, selector, seconds=20):
        """Wait for something that can be clicked, and do it."""
        found = f"document.querySelector({json.dumps(selector)})"
        can = f"Boolean({found} && {found}.offsetParent && !{found}.disabled)"
        wait_for(lambda: self.run(can), seconds, lambda: f"{selector!r} can be clicked: {self.text()!r:.900}")
        self.run(f"{found}.click()")

    def press(self, key):
        """Press a key."""
        self.command("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, selector, text):
        """Put text into a field and submit it."""
        self.run(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}")
        self.run(f"document.querySelector({json.dumps(selector)}).form.requestSubmit()")

    def picture(self, path, whole=False):
        """Write a screenshot."""
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self._closing.close()


def wait_for(is_so, seconds, what):
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise AssertionError(f"it is not so after {seconds} s that {what() if callable(what) else what}")
        time.sleep(0.05)


def chosen(text, choices):
    """One of the choices, which follows from the text."""
    return choices[sum(text.encode()) % len(choices)]
