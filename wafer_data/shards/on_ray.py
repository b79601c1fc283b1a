"""Work on shards spread over a Ray cluster, as a Ray Data pipeline. Needs the extra `[ray]`.

A shard is a block: a worker that dies costs the shards it was at, which Ray Data gives to another one. What a shard
gives is written whole or not at all by the work itself, so that doing it twice does no harm. Scheduling, retries and
transport are Ray's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from wafer_data.errors import InputError, MissingPackageError

Task = TypeVar("Task")
LOCAL = "local"


class _Worker(Generic[Task]):
    """Lives in a process of the cluster; `make` gives what works on a task, once a worker."""

    def __init__(self, make: Callable[[], Callable[[Task], dict[str, Any]]], tasks: Sequence[Task]) -> None:
        self._work, self._tasks = make(), tasks

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["id"])
        try:
            return {"id": number, "error": "", **self._work(self._tasks[number])}
        except InputError as error:  # a message for the user, not a failure that trying again could mend
            return {"id": number, "error": str(error)}


def on_ray(
    address: str,
    make: Callable[[], Callable[[Task], dict[str, Any]]],
    tasks: Sequence[Task],
    workers: int | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Do every task somewhere in the cluster.

    Args:
        address: of a running cluster (`auto`, `ray://head:10001`), or `local` to start one on this computer.
        make: called once a worker; gives the function that does a task and returns plain values.
        tasks: what there is to do; must be picklable.
        workers: processes of one core each; default: as many as the cluster has cores.

    Yields:
        The number of each task and what it gave, as they are done.

    Raises:
        InputError: Ray is missing, the cluster cannot be reached, or a task raised one.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingPackageError(f'--ray needs {error.name}: pip install "waferroute[ray]"') from error
    if not tasks:
        return
    started = not ray.is_initialized()
    try:
        if started:
            local: dict[str, Any] = (
                {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
            )
            ray.init(address=None if address == LOCAL else address, log_to_driver=False, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster at {address} ({error}): start one with `ray start --head`"
        ) from error
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        count = workers or int(ray.cluster_resources().get("CPU", 1))
        worker: Any = _Worker
        rows = ray.data.range(len(tasks), override_num_blocks=len(tasks)).map(
            worker, fn_constructor_args=(make, list(tasks)), concurrency=min(count, len(tasks)), num_cpus=1
        )
        for row in rows.iter_rows():
            if row["error"]:
                raise InputError(row["error"])
            number = int(row.pop("id"))
            yield number, row
    finally:
        if started:
            ray.shutdown()
