"""`gan-lab train`: one run."""

from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.cli import app


def main() -> None:
    """Entry point."""
    app.run("train", train)


def train(cfg: DictConfig) -> None:
    """Train what the config describes, in the run folder that Hydra made."""
    from gan_lab.config.checks import check_multirun
    from gan_lab.config.fit import fit

    check_multirun(cfg, app.is_multirun())
    with open_dict(cfg):
        # In a sweep and in the processes that Lightning starts, Hydra's choice is the true one.
        OmegaConf.update(cfg, "run.dir", app.output_folder())
    fit(cfg)


if __name__ == "__main__":
    main()
