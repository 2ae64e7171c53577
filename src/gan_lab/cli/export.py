"""`gan-lab export`: a generator as one file."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("export", export)


def export(cfg: DictConfig) -> None:
    """Write the file and print where it is."""
    from gan_lab.config.exporting import export

    print(export(cfg))


if __name__ == "__main__":
    main()
