"""The queue: riskiest first, one person an image, nothing said twice, nothing lost by an undo."""

import threading

import pytest
import sqlalchemy as sa

from service.auth.who import Who
from service.problem import Problem
from service.review.further_looks import add_further_looks, plant_image, vigilance
from service.review.skips import skip
from service.review.tasks import (
    LEASE_S,
    Said,
    give_verdict,
    held_task,
    lease_next,
    open_task,
    renew,
    undo,
    verdicts_of,
)
from service.state import Service
from service.store.tables import inspections, review_skips, review_tasks, reviews

People = dict[str, Who]
NOW = 2e9


def count(service: Service, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    with service.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()


def verdict_of(service: Service, inspection: str) -> tuple[str | None, str | None]:
    with service.database.read() as connection:
        row = connection.execute(
            sa.select(inspections.c.verdict, inspections.c.verdict_defect).where(
                inspections.c.id == inspection
            )
        ).one()
    return tuple(row)


def test_the_riskiest_image_comes_first(service: Service, queue: list[str], inspectors: People):
    tasks = lease_next(service.database, inspectors["ann"], 4)
    risks = [task.row["score"] - task.row["review_above"] for task in tasks]
    assert len(tasks) == 4
    assert risks == sorted(risks, reverse=True)


def test_two_people_never_hold_the_same_image(service: Service, queue: list[str], inspectors: People):
    held: dict[str, set[int]] = {"ann": set(), "bob": set()}

    def take(name: str) -> None:
        for _ in range(6):
            held[name] |= {task.seq for task in lease_next(service.database, inspectors[name], 1)}

    threads = [threading.Thread(target=take, args=(name,)) for name in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held["ann"] and held["bob"] is not None
    assert not held["ann"] & held["bob"]


def test_a_lease_that_ran_out_goes_to_the_next_person(service: Service, queue: list[str], inspectors: People):
    (task,) = lease_next(service.database, inspectors["ann"], 1, NOW)
    assert renew(service.database, inspectors["ann"], [task.seq], NOW + LEASE_S - 1) == 1
    later = NOW + 2 * LEASE_S
    (same,) = lease_next(service.database, inspectors["bob"], 1, later)
    assert same.seq == task.seq
    with pytest.raises(Problem, match="somebody else"):
        give_verdict(service.database, inspectors["ann"], task.seq, Said("good"), later)
    assert renew(service.database, inspectors["ann"], [task.seq], later) == 0


def test_a_double_click_is_one_verdict(service: Service, queue: list[str], inspectors: People):
    (task,) = lease_next(service.database, inspectors["ann"])
    first = give_verdict(service.database, inspectors["ann"], task.seq, Said("defect", "scratch"))
    assert give_verdict(service.database, inspectors["ann"], task.seq, Said("defect", "scratch")) == first
    assert count(service, reviews) == 1
    with pytest.raises(Problem, match="undo it"):
        give_verdict(service.database, inspectors["ann"], task.seq, Said("good"))
    assert verdict_of(service, task.row["id"]) == ("defect", "scratch")


def test_an_undo_gives_the_image_back_to_the_same_person(
    service: Service, queue: list[str], inspectors: People
):
    (task,) = lease_next(service.database, inspectors["ann"])
    give_verdict(service.database, inspectors["ann"], task.seq, Said("good"))
    undo(service.database, inspectors["ann"], task.seq)
    assert verdict_of(service, task.row["id"]) == (None, None)
    assert held_task(service.database, inspectors["ann"], task.seq).seq == task.seq
    give_verdict(service.database, inspectors["ann"], task.seq, Said("defect"))
    assert verdict_of(service, task.row["id"]) == ("defect", None)
    assert count(service, reviews) == 3  # nothing is ever taken away


def test_only_ones_own_verdict_is_taken_back(service: Service, queue: list[str], inspectors: People):
    (task,) = lease_next(service.database, inspectors["ann"])
    give_verdict(service.database, inspectors["ann"], task.seq, Said("good"))
    with pytest.raises(Problem, match="no verdict of yours"):
        undo(service.database, inspectors["bob"], task.seq)


def second_look(service: Service, inspectors: People, first: str, second: str) -> str:
    """ann says one thing and bob, blind, another; the inspection's id."""
    (task,) = lease_next(service.database, inspectors["ann"])
    give_verdict(service.database, inspectors["ann"], task.seq, Said(first))
    name = task.row["id"]
    with service.database.write() as connection:
        open_task(connection, service.database, name, "double", 1e9, NOW, not_user=inspectors["ann"].user_id)
    assert lease_next(service.database, inspectors["ann"])[0].row["id"] != name
    (double,) = lease_next(service.database, inspectors["bob"])
    assert (double.row["id"], double.blind) == (name, True)
    give_verdict(service.database, inspectors["bob"], double.seq, Said(second))
    return name


def test_two_who_agree_settle_it(service: Service, queue: list[str], inspectors: People):
    name = second_look(service, inspectors, "defect", "defect")
    assert verdict_of(service, name)[0] == "defect"
    assert count(service, review_tasks, review_tasks.c.kind == "third") == 0


def test_a_disagreement_goes_to_a_senior_inspector(service: Service, queue: list[str], inspectors: People):
    name = second_look(service, inspectors, "defect", "good")
    assert verdict_of(service, name)[0] == "unsure"
    third = [
        t
        for who in ("ann", "bob")
        for t in lease_next(service.database, inspectors[who], 4)
        if t.kind == "third"
    ]
    assert third == []
    leased = {t.kind: t for t in lease_next(service.database, inspectors["sue"], 4)}
    assert leased["third"].blind
    give_verdict(service.database, inspectors["sue"], leased["third"].seq, Said("defect", "particle"))
    assert verdict_of(service, name) == ("defect", "particle")


def test_second_looks_are_a_share_of_what_was_reviewed_and_are_added_once(
    service: Service, queue: list[str], inspectors: People, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.review.further_looks.DOUBLE_SHARE", 1.0)
    (task,) = lease_next(service.database, inspectors["ann"])
    give_verdict(service.database, inspectors["ann"], task.seq, Said("good"))
    assert add_further_looks(service) == 1
    assert add_further_looks(service) == 0
    assert count(service, review_tasks, review_tasks.c.kind == "double") == 1


def test_known_images_measure_vigilance_and_change_no_verdict(
    service: Service, queue: list[str], inspectors: People, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("service.review.further_looks.PLANTED_SHARE", 1.0)
    monkeypatch.setattr("service.review.further_looks.DOUBLE_SHARE", 0.0)
    known = queue[7]  # one that PASSed
    plant_image(service.database, known, "defect", "scratch", "user:4")
    (task,) = lease_next(service.database, inspectors["ann"])
    give_verdict(service.database, inspectors["ann"], task.seq, Said("good"))
    assert add_further_looks(service) == 1
    # wherever among the others it was put, somebody holds it now
    held = {name: lease_next(service.database, inspectors[name], 4) for name in ("ann", "bob")}
    (who, seq) = next(
        (inspectors[n], t.seq) for n, tasks in held.items() for t in tasks if t.kind == "planted"
    )
    give_verdict(service.database, who, seq, Said("good"))
    assert verdict_of(service, known) == (None, None)
    assert vigilance(service.database) == {
        "shown": 1, "right": 0, "defects": 1, "missed": 1, "goods": 0, "false_alarms": 0
    }  # fmt: skip
    with service.database.read() as connection:
        assert verdicts_of(connection, known) == []


def test_an_image_that_people_called_good_is_not_planted_as_a_defect(
    service: Service, queue: list[str], inspectors: People
):
    (task,) = lease_next(service.database, inspectors["ann"])
    give_verdict(service.database, inspectors["ann"], task.seq, Said("good"))
    with pytest.raises(Problem, match="called this image good"):
        plant_image(service.database, task.row["id"], "defect", None, "user:4")


def test_an_image_that_somebody_passes_on_is_free_at_once_and_comes_back_to_that_person_last(
    service: Service, queue: list[str], inspectors: People
):
    ann, bob = inspectors["ann"], inspectors["bob"]
    (first,) = lease_next(service.database, ann, 1, NOW)
    skip(service.database, ann, first.seq, NOW)
    skip(service.database, ann, first.seq, NOW)
    assert count(service, review_skips) == 1, "twice is once"
    (others,) = lease_next(service.database, bob, 1, NOW)
    assert others.seq == first.seq, "for others it is still the riskiest"
    skip(service.database, bob, others.seq, NOW)
    seen = []
    while tasks := lease_next(service.database, ann, 1, NOW + 1):
        seen.append(tasks[0].seq)
        give_verdict(service.database, ann, tasks[0].seq, Said("good"), NOW + 1)
    assert len(seen) == 6 and seen[-1] == first.seq


def test_nobody_gives_back_what_somebody_else_holds(service: Service, queue: list[str], inspectors: People):
    (task,) = lease_next(service.database, inspectors["ann"], 1, NOW)
    skip(service.database, inspectors["bob"], task.seq, NOW)
    assert held_task(service.database, inspectors["ann"], task.seq, NOW).seq == task.seq
    with pytest.raises(Problem, match="no such task"):
        skip(service.database, inspectors["ann"], 10**9, NOW)
