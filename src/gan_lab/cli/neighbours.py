"""`gan-lab neighbours`: the training images that samples of a checkpoint are nearest to."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("neighbours", neighbours)


def neighbours(cfg: DictConfig) -> None:
    """Compare, write and print."""
    from gan_lab.config.neighbours import neighbours

    print(neighbours(cfg))


if __name__ == "__main__":
    main()
