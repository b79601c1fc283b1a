"""What a look reads of the database says the same as all wafers that were ever kept, on both kinds of database."""

from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa

from lifecycle.conductor.drift_wafers import wafers_of
from lifecycle.drift.fab import DAY_S, LONGEST_S, History
from lifecycle.drift.first_wafers import MOST_REFERENCE_WAFERS, REFERENCE_WAFERS
from lifecycle.drift.frame import Frame
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from service.store.database import Database
from service.store.migrate import migrate
from service.store.tables import drift_wafers
from tests.service import postgres

VERSION, HOUR = "v1.0.0", 3600.0


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("drift")
    if request.param == "sqlite":
        found = Database(f"sqlite:///{folder / 'service.db'}")
        migrate(found)
        yield found
        return
    if (why := postgres.missing()) is not None:
        pytest.skip(why)
    server = postgres.Server(folder)
    found = Database(server.url)
    migrate(found)
    yield found
    server.stop()


@pytest.fixture(autouse=True)
def empty(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.delete(drift_wafers))


def keep(database: Database, stream: Stream, lots: list[str | None], every: float = HOUR) -> History:
    """Wafers of these lots, one after another."""
    summary = [
        WaferSummary(f"w{i}", lot, np.array([float(i)]), np.empty(0), 0.0, np.empty(0), 1)
        for i, lot in enumerate(lots)
    ]
    at = [float(i) * every for i in range(len(lots))]
    rows = [
        {
            "version": VERSION, **stream._asdict(), "wafer_id": w.wafer, "lot": w.lot, "at": when, "last_entry": i,
            "images": 1, "flagged": 0, "unjudged": 0, "figures": w.pack(),
        }
        for i, (when, w) in enumerate(zip(at, summary, strict=True))
    ]  # fmt: skip
    with database.write() as connection:
        connection.execute(sa.insert(drift_wafers), rows)
    return list(zip(at, summary, strict=True))


def names(history: History) -> list[str]:
    return [wafer.wafer for _, wafer in history]


def whole_lots(lots: int, wafers: int) -> list[str | None]:
    return [f"l{i}" for i in range(lots) for _ in range(wafers)]


@pytest.mark.parametrize(("wafers", "reference"), [(25, 30 * 25), (4, 30 * 4), (2, 60), (1, 60)])
def test_a_reference_of_lots_is_read_and_what_lies_between_is_not(
    database: Database, wafers: int, reference: int
):
    kept = keep(database, Stream("T", "M", "r"), whole_lots(3000 // wafers, wafers))
    (found,) = wafers_of(database, VERSION, kept[-6][0]).values()
    assert names(found)[:reference] == names(kept)[:reference]
    assert names(found)[-5:] == names(kept)[-5:]
    assert len(found) <= reference + 1 + 5  # and the wafer that begins the next lot


def test_where_no_lot_is_named_sixty_wafers_are_read(database: Database):
    kept = keep(database, Stream("T", "M", "r"), ["", None] * 100)
    (found,) = wafers_of(database, VERSION, kept[-1][0]).values()
    assert names(found) == names(kept)[:REFERENCE_WAFERS]


def test_no_more_is_read_however_large_the_lots(database: Database):
    kept = keep(database, Stream("T", "M", "r"), ["product 7"] * 2000)
    (found,) = wafers_of(database, VERSION, kept[-1][0]).values()
    assert len(found) == MOST_REFERENCE_WAFERS


@pytest.mark.parametrize("seed", range(6))
def test_a_look_at_what_was_read_sees_what_a_look_at_all_wafers_sees(database: Database, seed: int):
    rng = np.random.default_rng(seed)
    everything = {}
    for tool in range(6):
        lots: list[str | None] = []
        for number in range(int(rng.integers(60, 120)) if tool % 2 else 500):
            again = f"l{rng.integers(number + 1)}"  # a lot that comes back, or is mixed with another
            name = [f"l{number}", f"l{number}", again, None, ""][rng.integers(5)]
            lots += [name] * int(rng.integers(1, 2 + 24 * (tool % 2)))
        stream = Stream(f"T{tool}", "M", "r")
        everything[stream] = keep(database, stream, lots, every=2 * HOUR)
    now = max(history[-1][0] for history in everything.values())
    read = wafers_of(database, VERSION, now - LONGEST_S)
    assert _sides(read, now) == _sides(everything, now)
    assert sum(map(len, read.values())) < sum(map(len, everything.values()))


def _sides(histories: dict[Stream, History], now: float) -> list[tuple[list[str], list[str]]]:
    """Names of the reference wafers and of the recent ones of three windows."""
    frame = Frame.of(histories)
    named = np.array(
        [f"{frame.streams[s]} {w.wafer}" for s, w in zip(frame.stream, frame.wafers, strict=True)]
    )
    windows = frame.sides([DAY_S / 4, 4 * DAY_S, LONGEST_S], now)
    return [(named[sides.reference.mask].tolist(), named[sides.recent].tolist()) for sides in windows]
