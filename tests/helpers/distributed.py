"""Call a function in two gloo processes of one group."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fork_server() -> ForkServerContext:
    """Start method of processes that have torch, Lightning and gan_lab already imported, which takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.interrupted_runs"])
    return context


def run_in_two_processes(function: Callable[..., Any], *arguments: Any, seconds: float = 300) -> None:
    """Call an importable function in two processes of one group, and wait for both."""
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    workers = [
        fork_server().Process(
            target=_call, args=(os.environ | group | {"LOCAL_RANK": str(rank), "RANK": str(rank)}, function, arguments)
        )
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds)
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()  # one that did not end in time
    assert codes == [0, 0]


def _call(environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in a program that is not a child itself
    os.environ.clear()  # of the test that started the server
    os.environ.update(environment)
    os.chdir(ROOT)
    function(*arguments)
