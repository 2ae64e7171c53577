"""`gan-lab evaluate`: metrics of a checkpoint or of a folder of images."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("evaluate", evaluate)


def evaluate(cfg: DictConfig) -> None:
    """Measure, write and print."""
    from gan_lab.config.evaluating import evaluate

    print(evaluate(cfg))


if __name__ == "__main__":
    main()
