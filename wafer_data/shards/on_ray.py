"""Work on shards spread over a Ray cluster, as a Ray Data pipeline. Needs the extra `[ray]`.

A shard is a block: a worker that dies costs the shards it was at, which Ray Data gives to another one. What a shard
gives is written whole or not at all by the work itself, so that doing it twice does no harm. Scheduling, retries and
transport are Ray's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from wafer_data.allocator import keep_freed_memory
from wafer_data.errors import InputError, MissingPackageError

Task = TypeVar("Task")
LOCAL = "local"
_ONE_ARENA = "MALLOC_ARENA_MAX"
"""Ray Data works in a thread beside the main one, and what further arenas of glibc free goes back to the operating
system whatever `keep_freed_memory` says. Only a process that starts with it in its environment has none."""


_ADDRESS: ContextVar[str | None] = ContextVar("cluster", default=None)


@contextlib.contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """What images or shards can be divided for is done on the cluster at `address` while the block runs; None: here.

    No part of a configuration: where something is computed changes no result.
    """
    token = _ADDRESS.set(address)
    try:
        yield
    finally:
        _ADDRESS.reset(token)


def cluster() -> str | None:
    """The address of the enclosing `on_cluster`, None where there is none."""
    return _ADDRESS.get()


class _Worker(Generic[Task]):
    """Lives in a process of the cluster; `make` gives what works on a task, once a worker."""

    def __init__(self, make: Callable[[], Callable[[Task], dict[str, Any]]], tasks: Sequence[Task]) -> None:
        keep_freed_memory()  # as the stages do in a process of their own
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
    *,
    in_order: bool = False,
    gpu: bool = False,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Do every task somewhere in the cluster.

    Args:
        address: of a running cluster (`auto`, `ray://head:10001`), or `local` to start one on this computer.
        make: called once a worker; gives the function that does a task and returns plain values.
        tasks: what there is to do; must be picklable.
        workers: processes of one core each; default: as many as the cluster has cores, or GPUs where `gpu` asks for
            one.
        in_order: yield in the order of the tasks; what is done early waits.
        gpu: a worker has a GPU to itself, if the cluster has any.

    Yields:
        The number of each task and what it gave, as they are done. A cluster that was started here lives on for the
        next pass, until this program ends.

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
    try:
        if not ray.is_initialized():
            local: dict[str, Any] = {}
            if address == LOCAL:
                local = {"num_cpus": workers, "include_dashboard": False}
                os.environ.setdefault(_ONE_ARENA, "1")  # inherited by the workers
            ray.init(address=None if address == LOCAL else address, log_to_driver=False, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster at {address} ({error}): start one with `ray start --head`"
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = in_order
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if gpu else 0
    count = workers or gpus or int(resources.get("CPU", 1))
    worker: Any = _Worker
    rows = ray.data.range(len(tasks), override_num_blocks=len(tasks)).map(
        worker,
        fn_constructor_args=(make, list(tasks)),
        concurrency=min(count, len(tasks)),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
    )
    for row in rows.iter_rows():
        if row["error"]:
            raise InputError(row["error"])
        number = int(row.pop("id"))
        yield number, row
