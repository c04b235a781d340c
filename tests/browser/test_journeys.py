"""User journeys in a real browser against the real processes."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import EMAIL, PASSWORD, Owner, Target
from tests.e2e.stack import Stack


def test_from_the_first_visit_to_the_first_green_beat_in_a_minute_by_keyboard_alone(owner: Owner) -> None:
    assert owner.took_s < 60


def test_an_open_page_turns_red_by_itself_and_green_again(page: Page, owner: Owner, target: Target) -> None:
    page.goto(owner.check)
    page.evaluate("window.stayed = true")
    icon = page.locator("link[rel=icon]")
    expect(page.locator(".headline .mark")).to_have_class(re.compile("is-up"))
    target.status = 503
    expect(page.locator(".headline .mark")).to_have_class(re.compile("is-down"), timeout=12_000)
    expect(page).to_have_title(re.compile(r"^\(1 down\)"))
    expect(icon).to_have_attribute("href", re.compile("icon-down"))
    expect(page.get_by_text("Unexpected HTTP status").first).to_be_visible()
    expect(page.locator("[data-open-count]").first).to_have_text("1")
    target.status = 200
    expect(page.locator(".headline .mark")).to_have_class(re.compile("is-up"), timeout=12_000)
    expect(page).not_to_have_title(re.compile("down"))
    expect(icon).to_have_attribute("href", re.compile("icon-up"))
    assert page.evaluate("window.stayed")


def test_a_hidden_tab_is_quiet(page: Page, owner: Owner) -> None:
    asked: list[str] = []
    page.goto(owner.check)
    page.on("request", lambda request: asked.append(request.url) if "live=" in request.url else None)
    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
    page.wait_for_timeout(4_000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, get: () => false})")
    page.wait_for_timeout(3_000)
    assert asked


def test_a_live_page_leaves_alone_what_the_reader_does(page: Page, owner: Owner) -> None:
    page.goto(f"{owner.project}checks/")
    page.locator("input[name=id]").first.check()
    search = page.get_by_label("Search checks")
    search.press_sequentially("127", delay=30)
    expect(page).to_have_url(re.compile("q=127"))
    page.wait_for_timeout(6_000)  # a result comes in meanwhile
    expect(search).to_be_focused()
    expect(search).to_have_value("127")
    expect(page.locator("input[name=id]").first).to_be_checked()
    page.goto(owner.check)
    row = page.locator("details:has(.facts) summary").last
    row.click()
    page.wait_for_timeout(6_000)
    expect(page.locator("details[open]:has(.facts)").first).to_be_visible()


def test_a_list_is_used_by_keyboard(page: Page, owner: Owner) -> None:
    page.goto(f"{owner.project}checks/")
    page.keyboard.press("/")
    expect(page.get_by_label("Search checks")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.get_by_text("1 chosen")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/checks/*-*/")
    bar = page.locator(".beats").first
    bar.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tip")).to_contain_text(re.compile(r"Up|No run|Down"))
    page.goto(f"{owner.project}checks/")
    page.keyboard.press("n")
    page.wait_for_url("**/checks/new/")


def test_a_check_is_tried_before_it_is_saved(page: Page, owner: Owner, target: Target) -> None:
    page.goto(f"{owner.project}checks/new/?url={target.url}nothing-yet")
    page.get_by_role("button", name="Test now").click()
    expect(page.locator("#trial .badge.is-up")).to_be_visible()
    expect(page.locator("#trial")).to_contain_text("HTTP 200")
    page.get_by_label("URL", exact=True).fill("http://127.0.0.1:1/")
    page.get_by_role("button", name="Test now").click()
    expect(page.locator("#trial .badge.is-down")).to_be_visible()
    page.get_by_label("URL", exact=True).fill("nonsense")
    page.get_by_role("button", name="Test now").click()
    expect(page.locator("#trial")).to_contain_text("must be a URL", ignore_case=True)
    page.goto(f"{owner.project}checks/")
    assert page.locator("tr[data-row]").count() == 1


def test_charts_are_drawn_and_stay_through_a_live_swap(page: Page, owner: Owner) -> None:
    page.goto(owner.check)
    expect(page.locator(".chart canvas")).to_be_visible()
    page.get_by_role("link", name="7d").click()
    expect(page).to_have_url(re.compile("range=7d"))
    expect(page.locator("#chart-7d canvas")).to_be_visible()
    page.wait_for_timeout(6_000)
    expect(page.locator("#chart-7d canvas")).to_be_visible()


def test_deleting_asks_in_place_and_can_be_taken_back(page: Page, owner: Owner) -> None:
    page.goto(owner.check)
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_channel_is_tested_and_tells_what_came_of_it(page: Page, owner: Owner, target: Target) -> None:
    page.goto(f"{owner.project}channels/new/webhook/")
    page.get_by_label("Name", exact=True).fill("Nobody there")
    page.get_by_label("URL", exact=True).fill("http://127.0.0.1:1/hook")
    page.get_by_role("button", name="Add channel").click()
    expect(page.get_by_text("signs every message")).to_be_visible()
    page.get_by_role("link", name="Done").click()
    page.get_by_role("button", name="Test Nobody there").click()
    expect(page.locator("#live")).to_contain_text("retrying", timeout=10_000)
    page.get_by_role("link", name="Delete Nobody there").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#live")).not_to_contain_text("Nobody there")


def test_the_public_page_is_published_and_read_by_anybody(page: Page, browser: Browser, owner: Owner, stack: Stack) -> None:
    page.goto(f"{owner.project}status-page/")
    page.get_by_label("Address", exact=True).fill("acme")
    page.get_by_label(re.compile("^127")).check()
    page.get_by_label("Published").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").last).to_contain_text("public")
    visitor = browser.new_context(base_url=stack.url).new_page()
    visitor.goto("/status/acme/")
    expect(visitor.locator(".overall")).to_contain_text("All systems operational")
    assert visitor.context.cookies() == []
    visitor.context.close()


def test_the_theme_is_chosen_and_kept(page: Page, owner: Owner) -> None:
    page.goto(owner.project)
    page.get_by_role("button", name="Dark").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_everything_works_without_script(browser: Browser, stack: Stack, owner: Owner, target: Target) -> None:
    context = browser.new_context(base_url=stack.url, java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/projects/**")
    page.get_by_role("link", name="New check").click()
    page.get_by_label("URL, host, or host:port").fill(f"{target.url}plain")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name", exact=True).fill("Plain")
    page.get_by_label("Interval", exact=True).fill("5 s")
    page.get_by_role("button", name="Test now").click()
    page.wait_for_timeout(1_000)
    page.get_by_role("button", name="Show the result").click()
    expect(page.locator("#trial .badge.is-up")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Plain")
    page.get_by_role("button", name="Create check").click()
    page.wait_for_url("**/checks/*-*/")
    check = page.url
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("Plainer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Plainer")).to_be_visible()

    target.status = 503
    until = time.monotonic() + 20
    incident = page.locator(".rows a[href*='/incidents/']").first
    while not incident.count() and time.monotonic() < until:
        time.sleep(0.5)
        page.goto(check)
    incident.click()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text(f"Acknowledged by {EMAIL}")).to_be_visible()
    target.status = 200

    page.goto(check)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused").first).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/checks/")
    expect(page.locator("tr[data-row]", has_text="Plainer")).to_have_count(0)
    page.goto("/status/acme/")
    expect(page.locator(".overall")).to_be_visible()
    context.close()


def test_a_page_that_hears_nothing_says_so_and_turns_grey(browser: Browser, stack: Stack, owner: Owner) -> None:
    page = browser.new_context(base_url=stack.url, storage_state=owner.state).new_page()
    page.goto(owner.project)
    expect(page.locator("#stale")).to_be_hidden()
    page.context.set_offline(True)
    expect(page.locator("#stale")).to_contain_text("No connection to the server", timeout=9_000)
    expect(page.locator("html")).to_have_class(re.compile("is-stale"))
    page.context.set_offline(False)
    expect(page.locator("#stale")).to_be_hidden(timeout=9_000)
    page.context.close()


def test_escape_keeps_the_filter_and_down_leaves_the_search(page: Page, owner: Owner) -> None:
    page.goto(f"{owner.project}checks/")
    search = page.get_by_label("Search checks")
    search.press_sequentially("127", delay=30)
    expect(page).to_have_url(re.compile("q=127"))
    search.press("Escape")
    expect(search).to_have_value("127")
    search.focus()
    search.press("ArrowDown")
    expect(page.locator("a[data-open]").first).to_be_focused()


def test_what_was_paused_in_bulk_is_undone_by_a_button(page: Page, owner: Owner) -> None:
    page.goto(f"{owner.project}checks/?kind=http")
    page.locator("input[name=id]").first.check()
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_url(re.compile("kind=http"))
    expect(page.get_by_role("status").last).to_contain_text("1 check is paused.")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").last).to_contain_text("1 check is resumed.")
    expect(page).to_have_url(re.compile("kind=http"))


def test_a_bar_tells_its_cells_by_the_arrow_keys(page: Page, owner: Owner) -> None:
    page.goto(owner.check)
    bar = page.locator("[data-bar]").first
    bar.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
