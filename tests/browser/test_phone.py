"""The browser phone in a real browser: words arrive, answers are heard, and no packet is changed on its way."""

import asyncio
from dataclasses import asdict
from pathlib import Path

from playwright.async_api import expect

from gateway.apikeys import named_hash
from gateway.simulator.model.sound import SILENCE
from tests.browser.call import a_person, call_through, missed

KEY = "a-key-of-the-day-shift"


def test_a_person_talks_with_an_agent_in_the_browser(tmp_path: Path) -> None:
    figures = asyncio.run(call_through(tmp_path))
    assert not missed(figures), asdict(figures)


def test_a_key_is_asked_for_and_the_page_says_what_goes_wrong(tmp_path: Path) -> None:
    async def main() -> list[str]:
        trouble: list[str] = []
        async with a_person(tmp_path, SILENCE * 8000, GATEWAY_API_KEYS=named_hash("day-shift", KEY)) as person:
            page = person.page
            page.on("pageerror", lambda error: trouble.append(str(error)))
            page.on("console", lambda said: trouble.append(said.text) if "Security Policy" in said.text else None)
            await page.fill("#key", "a-key-of-nobody-at-all")
            await page.click("#sign-in button")
            await expect(page.locator("#problem")).to_contain_text("none of the gateway's API keys")
            await page.fill("#key", KEY)
            await page.click("#sign-in button")
            await expect(page.locator("#name")).to_have_text("day-shift")
            cookies = await page.context.cookies()
            assert [(it["httpOnly"], it["sameSite"]) for it in cookies] == [(True, "Strict")]
            person.served.process.terminate()
            await person.served.exit_code()
            await page.click("#call")
            await expect(page.locator("#problem")).to_contain_text("does not answer")
            await expect(page.locator("#state")).to_have_text("Failed")
        return trouble

    assert asyncio.run(main()) == []
