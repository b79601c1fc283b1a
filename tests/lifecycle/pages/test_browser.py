"""The pages in a real browser: seen, and checked for accessibility."""

import threading
from collections.abc import Iterator

import pytest
import uvicorn

from service.app import create_app
from service.auth.who import Who
from service.state import Service
from tests.service.review import test_browser as station
from tests.service.review.test_browser import browser

__all__ = ["browser"]
pytestmark = station.pytestmark


@pytest.fixture
def site(
    service: Service, inspectors: dict[str, Who], compared: list[str], drifted: float
) -> Iterator[station.Site]:
    server = uvicorn.Server(uvicorn.Config(create_app(service), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    station._until(lambda: server.started)
    yield station.Site(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", compared)
    server.should_exit = True
    thread.join(30)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_the_pictures_load(browser, site: station.Site, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tablet = {"width": 768, "height": 1024}
    page = station.enter(browser, site, "eva", color_scheme=scheme, viewport=tablet)
    found = {}
    for path in ("/shadow", "/drift"):
        assert page.goto(site.url + path).status == 200
        found[path] = station._violations(axe.run(page))
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= tablet["width"], f"{path} is {wide} wide"
    page.goto(f"{site.url}/shadow")
    for _ in page.query_selector_all(".tile"):
        page.mouse.wheel(0, 2000)
    page.wait_for_load_state("networkidle")
    loaded = page.evaluate("[...document.querySelectorAll('.beside img')].map(one => one.naturalWidth > 0)")
    assert len(loaded) == 6
    assert all(loaded)
    page.click(f"a[href='/inspections/{site.ids[0]}'], a[href='/inspections/{site.ids[1]}']")
    assert "Inspection" in page.title() or page.url.startswith(f"{site.url}/inspections/")
    page.context.close()
    assert {path: said for path, said in found.items() if said} == {}
