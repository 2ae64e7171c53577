"""`gan-lab interpolate`: a walk through the latents of a checkpoint."""

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("interpolate", interpolate)


def interpolate(cfg: DictConfig) -> None:
    """Write the animation and print where it is."""
    from gan_lab.config.interpolating import interpolate

    print(interpolate(cfg))


if __name__ == "__main__":
    main()
