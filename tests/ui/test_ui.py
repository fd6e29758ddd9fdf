"""A user's session in the Dagster UI, with a real browser and the real `dagster dev`: no step fails or logs an error.

`WARRIOR_SCREENSHOTS` is the folder for screenshots; `make test-ui` sets it to docs/.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("playwright", reason="`make test-ui` installs what drives the browser")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.ui.browser import CHROMIUM, MINUTES, append, chromium, copied_arena, dagster_dev, page_of
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.report.page import SECTIONS

SETTLED = 3_000
"""Milliseconds until the graph has its final position and colours, for the screenshot only."""
pytestmark = [pytest.mark.served, pytest.mark.skipif(not CHROMIUM, reason="`make test-ui` installs Chromium")]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied_arena(tmp_path_factory.mktemp("ui"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(arena: Path) -> Iterator[str]:
    with dagster_dev(arena) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as page:
        yield page


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("WARRIOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def button(within: Page | Locator, text: str) -> Locator:
    """Find a button by its text, because its accessible name contains the name of its icon too."""
    return within.get_by_role("button").filter(has_text=re.compile(text)).first


def finished(page: Page, run: str) -> None:
    """Wait until the page of a run shows its success."""
    page.goto(run)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=5 * MINUTES)


def test_the_graph_shows_every_group_and_asset(browser: Browser, address: str) -> None:
    groups = ("mining", "curation", "answers", "evidence", "battles", "ratings", "datasets", "analysis")
    expanded = ",".join(f"global@global:{group}" for group in groups)  # as the UI writes it after a click on each group
    inside = ("mined_instructions", "generated_tests", "execution_votes", "behaviour_votes", "sft_dataset", "arena_report")
    for name, query, drawn in (("groups", "", groups), ("graph", f"?expanded={quote(expanded)}", (*groups, *inside))):
        with page_of(browser, device_scale_factor=1.5) as page:
            page.set_viewport_size({"width": 2200, "height": 900})
            page.goto(f"{address}/asset-groups{query}")
            for one in drawn:
                expect(page.locator("foreignObject").get_by_text(one, exact=True).first).to_be_attached(timeout=MINUTES)
            page.get_by_text("Hide navigation").first.click()
            page.wait_for_timeout(SETTLED)
            shoot(page, name)


def test_the_page_of_an_asset_says_what_it_costs_describes_its_columns_and_shows_rows(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/head_to_head")
    expect(page.get_by_text("no request is sent").first).to_be_visible()
    expect(page.get_by_text("a tie counts half").first).to_be_visible()  # of the column win_rate
    expect(page.get_by_role("columnheader", name="win_rate", exact=True).first).to_be_visible()  # of the preview
    shoot(page, "asset")


def test_a_stage_is_materialized_from_its_page(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/difficulty_bands")
    button(page, "^Materialize$").click()
    launched = page.get_by_role("link", name="View", exact=True)
    finished(page, f"{address}{launched.get_attribute('href')}")


def test_the_backfill_of_a_new_competitor_is_launched_from_one_dialog_and_finishes(
    page: Page, address: str, arena: Path
) -> None:
    append(arena, "tester", "You are a test engineer. You answer with code and with tests for it.")
    page.goto(f"{address}/asset-groups")
    button(page, "Reload definitions").click()
    page.get_by_text("Definitions reloaded!").first.wait_for()
    page.goto(f"{address}/asset-groups?asset-selection=key%3A%22mined_instructions%22%2B")
    button(page, "Materialize all").click()
    dialog = page.get_by_role("dialog")
    button(dialog, "^Missing$").click()
    expect(dialog.get_by_text("tester", exact=True).first).to_be_visible()
    shoot(page, "backfill")
    button(dialog, "Launch backfill").click()
    expect(dialog).to_be_hidden()
    page.goto(f"{address}/runs?view=backfills")
    expect(page.get_by_text(re.compile("^(Success|Completed)$")).first).to_be_visible(timeout=30 * MINUTES)
    page.goto(f"{address}/assets/elo_ratings")
    expect(page.get_by_text("rating tester").first).to_be_visible()


def test_a_picture_and_a_failed_check_are_shown(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/rating_history")
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.get_by_role("dialog").locator("img").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 100
    shoot(page, "picture")
    page.goto(f"{address}/assets/battle_outcomes?view=checks")
    page.get_by_text("reaches_its_goal").first.click()
    expect(page.get_by_text("Failed").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_offline_shows_every_figure_and_is_accessible(browser: Browser, arena: Path, scheme: str) -> None:
    with page_of(browser, offline=True, color_scheme=scheme) as page:
        page.goto((arena.parent / "warehouse" / "exports" / "report.html").as_uri())
        loaded = load_arena(arena)
        for section in (one for one in SECTIONS if one.table.enabled(loaded)):  # it has no judges, and no categories
            expect(page.get_by_role("img", name=section.title)).to_be_visible()
        page.evaluate("window.scrollTo(0, 0)")
        shoot(page, f"report_{scheme}")
        page.get_by_label("Find instructions").fill("a")
        page.get_by_role("article").first.locator("summary").first.click()
        article = page.get_by_role("article").first
        expect(article.get_by_role("heading", name=re.compile("^Gold: "))).to_be_visible()
        expect(article.locator(".why")).to_contain_text(re.compile("won|is first"))
        article.get_by_text(re.compile(r"^Battles \(")).click()
        expect(article.get_by_role("columnheader", name="won by")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
