"""`gan-lab bench`: the speed of a training step."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("bench", bench)


def bench(cfg: DictConfig) -> None:
    """Measure and print."""
    from gan_lab.benchmark.report import report
    from gan_lab.config.fit import quiet_lightning

    quiet_lightning()
    for line in report(cfg):
        print(line, flush=True)


if __name__ == "__main__":
    main()
