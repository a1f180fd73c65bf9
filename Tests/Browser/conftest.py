"""A server of two miniature models, and a browser: the system's Chromium, driven by Playwright."""

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
DECANT = os.environ.get("DECANT", str(TOP / ".build/release/decant"))
SCREENSHOTS = pathlib.Path(os.environ.get("SCREENSHOTS", TOP / ".build/screenshots"))


class Server:
    """A running `decant serve`."""

    def __init__(self, models, *options):
        command = [DECANT, "serve", *models, "--port", "0", "--json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        text = ""
        while not text.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("decant serve did not start: " + self.process.stderr.read())
            text += line
        self.facts = json.loads(text)
        self.url = self.facts["url"].rstrip("/")

    def memory(self):
        """Bytes of resident memory."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def stop(self, number=signal.SIGTERM):
        """Ends the server and returns its exit code and what it printed to standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """The miniature model, its int8 form, and a stripped one."""
    folder = tmp_path_factory.mktemp("models")
    mini = TOP / "Fixtures/mini-sd"
    shutil.copytree(mini, folder / "mini-sd")
    for arguments in (
        ["quantize", str(mini), "-o", str(folder / "int8.decant"), "--type", "int8"],
        ["strip", str(mini), "-o", str(folder / "small.decant"), "--recipe", "bk-sdm-small"],
    ):
        subprocess.run([DECANT, *arguments, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return [str(folder / name) for name in ("mini-sd", "int8.decant", "small.decant")]


@pytest.fixture(scope="session")
def server(models):
    server = Server(models)
    yield server
    code, errors = server.stop()
    assert code == 0, errors
    assert "decant: stopped" in errors


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """The page, without messages on the console at the end. Chromium reports refusals there too; a test that
    causes one adds its status to `page.refusals`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    messages = []
    page.refusals = []
    page.on("console", lambda message: messages.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(server.url)
    page.wait_for_function("document.getElementById('model').options.length > 0")
    yield page
    context.close()
    expected = [f"status of {status} " for status in page.refusals]
    assert [text for text in messages if not any(part in text for part in expected)] == []
