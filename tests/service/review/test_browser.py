"""The pages in a real browser: an inspector's path by keyboard, two at once, and the automated accessibility check."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
import uvicorn

from service.app import create_app
from service.auth.keys import make_key
from service.auth.who import Who
from service.client import Client
from service.review.tasks import open_task, queue_state
from service.state import Service
from service.store.tables import reviews

from .conftest import PASSWORD

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
IMAGES = 12
SHOWN = "document.querySelector('#image').src.match(/review[/]([0-9]+)/)[1]"
ANOTHER = (
    "before => document.querySelector('#station').hidden || "
    f"({SHOWN} !== before && document.querySelector('#image').complete)"
)
TOLD_BY_THE_MODEL = {
    "decision",
    "score",
    "review_above",
    "reject_above",
    "reasons",
    "route",
    "rule",
    "defect",
}


@dataclass
class Site:
    """A worker that listens. ids: of the inspections; those with a defect first."""

    url: str
    ids: list[str] = field(default_factory=list)


@pytest.fixture
def site(
    service: Service, inspectors: dict[str, Who], png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """IMAGES doubtful images wait; nothing is added by chance."""
    monkeypatch.setattr("service.review.further_looks.DOUBLE_SHARE", 0.0)
    monkeypatch.setattr("service.review.further_looks.PLANTED_SHARE", 0.0)
    with service.database.write() as connection:
        key = make_key(connection, "tool", ["inspect", "read"])
    server = uvicorn.Server(uvicorn.Config(create_app(service), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until(lambda: server.started)
    found = Site(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    with Client(found.url, key, timeout=60) as client:
        for i in range(IMAGES):
            answer = client.inspect(
                png(5000 + i, 0.3 + 0.02 * i), wafer_id=f"W{i % 3}", inspection_point=i, lot="L1", layer="M1"
            )
            assert answer["decision"] != "PASS"
            found.ids.append(answer["id"])
    _until(lambda: queue_state(service.database)["open"] == IMAGES)
    yield found
    server.should_exit = True
    thread.join(30)


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


def wait_until(page: "playwright.Page", expression: str, argument: object = None) -> None:
    """Ask until it is true. Playwright's own way compiles text in the page, which the page's policy forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, expression
        time.sleep(0.02)


def enter(browser: "playwright.Browser", site: Site, name: str, **context: object) -> "playwright.Page":
    """A browser of its own, in which somebody has logged in by keyboard."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{site.url}/review")
    page.focus("#name")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#station:not([hidden])")
    wait_until(page, "document.querySelector('#image').complete")
    return page


def say(page: "playwright.Page", key: str) -> str:
    """Press a verdict's key and wait for the next image. Returns the task."""
    task = page.evaluate(SHOWN)
    page.keyboard.press(key)
    wait_until(page, ANOTHER, task)
    return task


def verdicts(service: Service) -> list[str | None]:
    from service.review.figures import search

    return [row["verdict"] for row in search(service.database, {})]


def test_an_inspectors_path_by_keyboard_alone(browser: "playwright.Browser", site: Site, service: Service):
    page = enter(browser, site, "ann")
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    seen = [say(page, "gdu"[i % 3]) for i in range(IMAGES)]
    assert len(set(seen)) == IMAGES
    assert page.is_hidden("#station")
    assert sorted(map(str, verdicts(service))) == sorted(["good", "defect", "unsure"] * (IMAGES // 3))
    page.keyboard.press("z")
    page.wait_for_selector("#station:not([hidden])")
    assert page.evaluate(SHOWN) == seen[-1]
    assert verdicts(service).count(None) == 1
    assert troubles == []
    page.context.close()


def test_what_decides_is_in_sight_without_scrolling(browser: "playwright.Browser", site: Site):
    for size in ((1280, 900), (768, 1024)):
        page = enter(browser, site, "ann", viewport={"width": size[0], "height": size[1]})
        for what in ("#zoom", ".large figcaption", "[data-verdict=good]", "[data-verdict=defect]", "#undo"):
            box = page.locator(what).first.bounding_box()
            assert box is not None and box["y"] >= 0, what
            assert box["y"] + box["height"] <= size[1] and box["x"] + box["width"] <= size[0], (
                what,
                size,
                box,
            )
        if size[0] > 1000:
            svg = page.wait_for_selector("#wafer svg")
            box = svg.bounding_box()
            assert box["y"] + box["height"] <= size[1], box
        page.context.close()


def test_a_blind_look_shows_nothing_of_the_model(
    browser: "playwright.Browser", site: Site, service: Service, inspectors: dict[str, Who]
):
    with service.database.write() as connection:
        other = inspectors["bob"].user_id
        open_task(connection, service.database, site.ids[0], "double", 1e9, time.time(), not_user=other)
    told: list[dict] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("response", lambda got: told.extend(got.json()["tasks"]) if "/review/next" in got.url else None)
    page.goto(f"{site.url}/review")
    page.fill("#name", "ann")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#station:not([hidden])")
    wait_until(page, "document.querySelector('#image').complete")
    blind = [task for task in told if task["blind"]]
    assert blind and not any(TOLD_BY_THE_MODEL & set(task) for task in blind)
    assert page.evaluate(SHOWN) == str(blind[0]["task"])
    text = page.inner_text("main")
    assert "blind" in text
    assert not any(word in text for word in ("REVIEW", "REJECT", "score", "not scored"))
    assert page.is_hidden("#heatmap") and page.is_hidden("#reconstruction")
    context.close()


def test_two_inspectors_never_get_the_same_image(browser: "playwright.Browser", site: Site):
    pages = [enter(browser, site, name) for name in ("ann", "bob")]
    seen: list[list[str]] = [[], []]
    while any(page.is_visible("#station") for page in pages):
        for one, page in zip(seen, pages, strict=True):
            if page.is_visible("#station"):
                one.append(say(page, "g"))
    assert all(seen) and not set(seen[0]) & set(seen[1])
    assert len(seen[0]) + len(seen[1]) == IMAGES
    for page in pages:
        page.context.close()


def test_an_image_that_is_passed_on_goes_to_somebody_else(browser: "playwright.Browser", site: Site):
    ann = enter(browser, site, "ann")
    left = say(ann, "n")
    bob = enter(browser, site, "bob")
    assert bob.evaluate(SHOWN) == left, "the riskiest is free again"
    assert ann.evaluate(SHOWN) != left
    for page in (ann, bob):
        page.context.close()


def test_types_are_named_by_keyboard_and_are_then_on_a_key(
    browser: "playwright.Browser", site: Site, service: Service
):
    page = enter(browser, site, "ann")
    first = page.evaluate(SHOWN)
    page.keyboard.press("t")
    page.keyboard.type("edge good")  # its letters are no verdicts here
    page.keyboard.press("Escape")
    assert page.is_hidden("#named") and page.evaluate(SHOWN) == first
    page.keyboard.press("t")
    page.keyboard.type("edge good")
    page.keyboard.press("Enter")
    wait_until(page, ANOTHER, first)
    page.reload()
    page.wait_for_selector("#station:not([hidden])")
    wait_until(page, "document.querySelector('#image').complete")
    assert page.inner_text("[data-type]").split() == ["1", "edge", "good"]
    say(page, "1")
    with service.database.read() as connection:
        named = connection.execute(sa.select(reviews.c.defect).order_by(reviews.c.seq)).scalars().all()
    assert named == ["edge good", "edge good"]
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: "playwright.Browser", site: Site, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tablet = {"width": 768, "height": 1024}
    page = browser.new_context(color_scheme=scheme, viewport=tablet).new_page()
    page.goto(f"{site.url}/login")
    found = {"/login": _violations(axe.run(page))}
    page.context.close()
    page = enter(browser, site, "eva", color_scheme=scheme, viewport=tablet)
    found["/review"] = _violations(axe.run(page))
    page.keyboard.press("t")
    found["/review, naming a type"] = _violations(axe.run(page))
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    for path in (
        "/search", "/wafers/W1", "/lots/L1", f"/inspections/{site.ids[0]}", "/agreement", "/overturned", "/monitor",
    ):  # fmt: skip
        assert page.goto(site.url + path).status == 200
        found[path] = _violations(axe.run(page))
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= tablet["width"], f"{path} is {wide} wide"
    page.context.close()
    assert {path: said for path, said in found.items() if said} == {}


def _violations(results: object) -> list[str]:
    assert results.response["passes"], "the check did not run"
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
        for one in results.response["violations"]
    ]
