"""Finds Chromium and starts it without a screen, with a WAV file as microphone.

In CI (`CI=true`) Debian's package is installed by `.ci/run`; there it must be found. Elsewhere its absence skips.
"""

import os
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from gateway.records.pcm import to_pcm

__all__ = ["chromium", "find_chromium", "write_wav"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)


def find_chromium() -> str:
    """Return the program; without it skip, in CI fail."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail("chromium is not installed: see tests/browser/README.md")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install --no-install-recommends chromium)")
    return found


@asynccontextmanager
async def chromium(program: str, microphone: Path) -> AsyncIterator[Browser]:
    """Start it; `microphone`, an absolute path, is played once from when a page asks for the microphone."""
    sound = f"--use-file-for-fake-audio-capture={microphone}%noloop"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, headless=True, args=[*FLAGS, sound])
        try:
            yield browser
        finally:
            await browser.close()


def write_wav(path: Path, mulaw: bytes) -> None:
    """Write mu-law as 16-bit samples, as Chromium wants them."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(to_pcm(mulaw))
