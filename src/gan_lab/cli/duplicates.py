"""`gan-lab duplicates`: near-duplicates of a data set."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("duplicates", duplicates)


def duplicates(cfg: DictConfig) -> None:
    """Look for them, write and print."""
    from gan_lab.config.duplicates import duplicates

    print(duplicates(cfg))


if __name__ == "__main__":
    main()
