"""`gan-lab sample`: pictures from a checkpoint."""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("sample", sample)


def sample(cfg: DictConfig) -> None:
    """Write a grid of samples and, if wanted, a file for each."""
    from gan_lab.config.sampling import newest_run, write_samples

    run = newest_run(Path("runs")) if cfg.run == "latest" else Path(cfg.run)
    write_samples(
        run,
        count=cfg.count,
        seed=cfg.seed,
        weights=cfg.weights,
        labels=cfg.labels,
        truncation=cfg.truncation,
        truncation_form=cfg.truncation_form,
        batch_norm=cfg.batch_norm,
        out=cfg.out and Path(cfg.out),
        columns=cfg.columns,
        files=cfg.files,
        device=cfg.device,
    )


if __name__ == "__main__":
    main()
