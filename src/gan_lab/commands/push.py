"""`gan-lab push`: uploads a generator to the Hugging Face hub, as the folder that `gan-lab export` writes."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.commands.export import read_exportable
from gan_lab.errors import ConfigError
from gan_lab.hub_client import asking_hub, hub_is_reachable
from gan_lab.runs.hub import is_ours
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import CARD, CONFIG, WEIGHTS, is_export_folder
from gan_lab.sampling.hub_folder import SAMPLES, write_hub_folder
from gan_lab.sampling.stored import read_stored

FILES = (WEIGHTS, CONFIG, CARD, SAMPLES)
"""Files of a model on the hub; others of a folder stay where they are."""

OF_ANY_REPOSITORY = (".gitattributes", CARD, "LICENSE")
"""Files of a repository that are not those of another model."""


@dataclass(frozen=True)
class Pushed:
    """A generator on the hub.

    Attributes:
        repo: Its repository, `user/name`.
        sizes: Bytes by name of file.
        url: Address of the commit; None for a dry run.
        created: Whether the repository is new; None for a dry run.
        private: Whether a new repository is visible to its account only.
    """

    repo: str
    sizes: Mapping[str, int]
    url: str | None
    created: bool | None
    private: bool

    def __str__(self) -> str:
        files = "\n".join(f"  {name:20}{size:>14,} bytes" for name, size in self.sizes.items())
        visible = "private" if self.private else "public"
        if self.url is None:
            return f"dry_run=true: nothing was uploaded. To {self.repo}, {visible} if it is new, would go\n{files}"
        where = f"the new {visible} repository {self.repo}" if self.created else f"a new commit of {self.repo}"
        return f"In {where}, {self.url}, are\n{files}\nNext: gan-lab sample run=hf:{self.repo}"


def push(cfg: DictConfig) -> Pushed:
    """Upload what a composed `push` config names, as one commit.

    Raises:
        UserError: The run cannot be used, or the hub refuses or cannot be reached.
    """
    with _folder(cfg) as folder:
        files = {name: folder / name for name in FILES if (folder / name).is_file()}
        sizes = {name: file.stat().st_size for name, file in files.items()}
        if cfg.dry_run:
            return Pushed(cfg.repo, sizes, None, None, cfg.private)
        created = _prepare(cfg)
        return Pushed(cfg.repo, sizes, _upload(cfg, files), created, cfg.private)


@contextmanager
def _folder(cfg: DictConfig) -> Iterator[Path]:
    """The files as they are to be uploaded: of a folder of `gan-lab export` its own, of a run temporary ones."""
    path = run_named(cfg.run)
    if is_export_folder(path.parent):
        if cfg.license is not None:
            raise ConfigError(
                f"license={cfg.license} has no effect on {path.parent}, which is written already: edit its {CARD}, or "
                "give the run."
            )
        if not is_ours(path.parent / CONFIG):
            raise ConfigError(
                f"{path.parent / CONFIG} is not that of gan-lab export, without which hf:{cfg.repo} would not be "
                "loaded: export the run again."
            )
        read_stored(path, cfg.weights)  # check the hashes
        yield path.parent
        return
    exportable = read_exportable(path, cfg.weights, cfg.license)
    with tempfile.TemporaryDirectory() as folder:
        write_hub_folder(Path(folder), exportable.stored, exportable.card, exportable.sheet())
        yield Path(folder)


def _prepare(cfg: DictConfig) -> bool:
    """Create the repository, or check that the one that exists may be changed; returns whether it is new.

    Raises:
        ConfigError: It may not, or the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi, get_token, utils

    if not hub_is_reachable():
        raise ConfigError(f"repo={cfg.repo}: the hub cannot be reached; check the network and repeat the command.")
    if get_token() is None:
        raise ConfigError(
            f"repo={cfg.repo} needs an account: run hf auth login, or set HF_TOKEN to a token of the hub."
        )
    with asking_hub(f"repo={cfg.repo}", ConfigError):
        try:
            found = HfApi().model_info(cfg.repo)
        except utils.RepositoryNotFoundError:
            HfApi().create_repo(cfg.repo, private=cfg.private)
            return True
        if cfg.private and not found.private:
            raise ConfigError(
                f"private=true has no effect on repo={cfg.repo}, which exists and is public: change that on its page, "
                "or give another name."
            )
        others = [each.rfilename for each in found.siblings or [] if each.rfilename not in OF_ANY_REPOSITORY]
        if others and not cfg.replace and not _is_ours(cfg.repo):
            raise ConfigError(
                f"repo={cfg.repo} exists and has another model ({', '.join(others[:3])}): give another name, or "
                "replace=true to add a commit with the files of this one."
            )
    return False


def _is_ours(repo: str) -> bool:
    """Whether a repository has a model of gan_lab."""
    from huggingface_hub import HfApi, utils

    try:
        return is_ours(Path(HfApi().hf_hub_download(repo, CONFIG)))
    except utils.EntryNotFoundError:
        return False


def _upload(cfg: DictConfig, files: Mapping[str, Path]) -> str:
    """Upload the files as one commit; returns its address."""
    from huggingface_hub import CommitOperationAdd, HfApi

    with asking_hub(f"repo={cfg.repo}", ConfigError):
        added = [CommitOperationAdd(name, str(file)) for name, file in files.items()]
        message = cfg.message or f"gan-lab push of {Path(cfg.run).name}"
        return str(HfApi().create_commit(cfg.repo, added, commit_message=message).commit_url)
