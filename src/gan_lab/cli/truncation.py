"""`gan-lab truncation`: fidelity against diversity of a checkpoint, over thresholds of its latents."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("truncation", truncation)


def truncation(cfg: DictConfig) -> None:
    """Measure, write and print."""
    from gan_lab.config.truncating import truncation_curve

    print(truncation_curve(cfg))


if __name__ == "__main__":
    main()
