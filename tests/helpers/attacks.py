"""Attacks by configs and pickles, each of which would create a file, and the check of a refusal."""

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import yaml


def config_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    return yaml.safe_load(checkpoint["gan_lab"]["config"])


def assert_refused(outcome: Any, pattern: str) -> None:
    """One sentence, no traceback, status 2."""
    assert outcome.status == 2, outcome
    assert "Traceback" not in outcome.err + outcome.out
    (sentence,) = [line for line in outcome.err.splitlines() if line.startswith("gan-lab ")]
    assert outcome.err.rstrip().endswith(sentence) and re.search(pattern, sentence), outcome.err


SHELL = "touch {mark}"
NODES: dict[str, dict[str, Any]] = {
    "system": {"_target_": "os.system", "command": SHELL},
    "posix": {"_target_": "posix.system", "command": SHELL},
    "subprocess": {"_target_": "subprocess.call", "_args_": [["touch", "{mark}"]]},
    "eval": {"_target_": "builtins.eval", "_args_": ["open('{mark}', 'w')"]},
    "open": {"_target_": "io.open", "file": "{mark}", "mode": "w"},
    "touch": {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": ["{mark}"]}]},
    "through a module of ours": {"_target_": "gan_lab.config.build.os.system", "command": SHELL},
    "partial": {"_target_": "functools.partial", "_args_": [{"_target_": "os.system", "_partial_": True}, SHELL]},
    "hydra": {"_target_": "hydra.utils.call", "config": {"_target_": "os.system", "command": SHELL}},
    "get_method": {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "our instantiate": {"_target_": "gan_lab.config.build.instantiate", "_recursive_": False, "key": "x",
                        "node": {"_target_": "os.system", "command": SHELL}},
    "our writer": {"_target_": "gan_lab.metrics.measuring.write_results", "path": "{mark}", "found": {}},
    "our private writer": {"_target_": "gan_lab.callbacks.checkpoints._same_file", "source": "/etc/hostname",
                           "target": "{mark}"},
    "torch.load": {"_target_": "torch.load", "f": "{pickle}", "weights_only": False},
    "torch.hub": {"_target_": "torch.hub.load", "repo_or_dir": "{folder}", "model": "x", "source": "local"},
    "Lightning": {"_target_": "lightning.pytorch.LightningModule.load_from_checkpoint", "checkpoint_path": "{pickle}"},
    "numpy": {"_target_": "numpy.load", "file": "{pickle}", "allow_pickle": True},
    "import": {"_target_": "evil.Network"},
    "import beside ours": {"_target_": "gan_lab_evil.Network"},
    "list as target": {"_target_": ["os.system"], "command": SHELL},
    "positional": {"_target_": "gan_lab.architectures.dcgan.DCGANGenerator", "_args_": [1]},
    "unresolved": {"_target_": "${oc.env:TARGET}", "command": SHELL},
}  # fmt: skip


def armed(node: Any, folder: Path) -> Any:
    """The node with the paths of this test, and beside them a module and a pickle that create the mark."""
    mark = folder / "attacked"
    for name in ("evil", "gan_lab_evil", "hubconf"):
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\nNetwork = x = dict\n")
    (folder / "evil.pickle").write_bytes(pickle.dumps(Bomb(mark)))
    text = json.dumps(node).replace("{mark}", str(mark)).replace("{pickle}", str(folder / "evil.pickle"))
    return json.loads(text.replace("{folder}", str(folder)))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)
