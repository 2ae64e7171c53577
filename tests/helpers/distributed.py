"""Start a test program as two gloo processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_in_two_processes(module: str, *arguments: str, seconds: float = 300) -> None:
    """Run `python -m <module> <arguments>` as two processes of one group, and wait for both."""
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment | {"LOCAL_RANK": str(rank), "RANK": str(rank)},
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=seconds) for worker in workers] == [0, 0]
