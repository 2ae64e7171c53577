"""`gan-lab prepare`: a data set decoded once, at several resolutions."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("prepare", prepare)


def prepare(cfg: DictConfig) -> None:
    """Write the arrays and print where they are."""
    from gan_lab.config.preparing import prepare

    print(prepare(cfg))


if __name__ == "__main__":
    main()
