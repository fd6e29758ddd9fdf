"""`dagster dev` as users start it, on a copy of the quick start's data, and a real browser that opens its pages."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from warrior_dagster.inference.servers.vllm import free_port

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDE: ViewportSize = {"width": 1600, "height": 1000}
MINUTES = 60_000
"""A minute in milliseconds, the unit of Playwright."""


def copied_arena(folder: Path) -> Path:
    """Copy the quick start's file, warehouse and runs, so that a test can change them. Returns the copied file."""
    original = ROOT / "arenas" / "quickstart.yaml"
    values = yaml.safe_load(original.read_text())
    shutil.copytree(original.parent / values["warehouse"], folder / "warehouse")
    shutil.copytree(ROOT / "dagster_home", folder / "home")
    for competitor in values["competitors"]:
        competitor["model"] = str((original.parent / competitor["model"]).resolve())
    values["warehouse"] = "warehouse"
    values["goals"]["decided_battles"] = 1.0  # a check that fails, once the arena was materialized again
    values["embedding"]["model"] = str((original.parent / values["embedding"]["model"]).resolve())
    arena = folder / "arena.yaml"
    arena.write_text(yaml.safe_dump(values, sort_keys=False))
    return arena


def append(arena: Path, name: str, prompt: str) -> None:
    """Append a competitor of the same model to an arena's file."""
    values: dict[str, Any] = yaml.safe_load(arena.read_text())
    values["competitors"].append(values["competitors"][0] | {"name": name, "system_prompt": prompt})
    arena.write_text(yaml.safe_dump(values, sort_keys=False))


@contextmanager
def dagster_dev(arena: Path) -> Iterator[str]:
    """Run `dagster dev` on an arena's file, with its home in the same folder. Yields its address; stops all its processes."""
    port = free_port()
    env = os.environ | {"DAGSTER_HOME": str(arena.parent / "home"), "WARRIOR_ARENA": str(arena)}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-p", str(port)]
    with open(arena.parent / "dagster.log", "wb") as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address, 180)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(address: str, seconds: float) -> None:
    """Wait until a server answers. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urlopen(f"{address}/server_info", timeout=10):
                return
        except (URLError, OSError):
            time.sleep(1)
    raise TimeoutError(f"nothing answered at {address} within {seconds} s")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium. Its sandbox is off for root, which cannot use it; all pages are local."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page. Raises AssertionError if its console shows an error."""
    errors = []
    context = browser.new_context(viewport=WIDE, **options)
    page = context.new_page()
    page.set_default_timeout(MINUTES)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, errors
