"""`gan-lab explore`: a page in the browser that shows what a generator has learned."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.commands.inputs import device_named
from gan_lab.explorer.server import ExplorerServer
from gan_lab.explorer.session import open_session
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named


@dataclass(frozen=True)
class Explored:
    """An explorer that has ended.

    Attributes:
        checkpoint: File of the generator.
        images_seen: Real images seen in training.
        address: Address of its page.
    """

    checkpoint: Path
    images_seen: int
    address: str

    def __str__(self) -> str:
        return f"The explorer of {named(self.checkpoint)} after {self.images_seen:,} images has ended."


def explore(cfg: DictConfig) -> Explored:
    """Serve the page by a composed `explore` config, until the minutes are over or a signal.

    Raises:
        UserError: A value or the run cannot be used, or the port is in use.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    other = None if cfg.other is None else run_named(cfg.other)
    with ExplorerServer(cfg.host, cfg.port, cfg.proxy) as server:
        session = open_session(
            path, cfg.weights, cfg.space, cfg.directions, cfg.method, cfg.layer, cfg.seed, device, cfg.allow_targets,
            other,
        )  # fmt: skip
        server.session, loaded = session, session.first.loaded
        print(f"{server.address} shows {named(loaded.path)}; Ctrl+C ends it.", file=sys.stderr, flush=True)
        _serve(server, cfg.minutes)
        return Explored(loaded.path, loaded.images_seen, server.address)


def _serve(server: ExplorerServer, minutes: float | None) -> None:
    """Answer requests; the timer ends the loop from another thread, as `shutdown` waits for it."""
    timer = None if minutes is None else threading.Timer(60 * minutes, server.shutdown)
    try:
        if timer is not None:
            timer.daemon = True
            timer.start()
        server.serve_forever(poll_interval=0.1)
    finally:
        if timer is not None:
            timer.cancel()
