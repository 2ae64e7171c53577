"""`gan-lab`: picks the command, and answers for help and shell completion. Imports nothing heavy."""

import os
import sys
from importlib import import_module

COMMANDS = {
    "train": "train a GAN",
    "sample": "draw from a checkpoint",
    "interpolate": "walk through the latents of a checkpoint",
    "export": "write a generator as one file to give away",
    "evaluate": "measure a checkpoint or a folder of images",
    "truncation": "draw fidelity against diversity over thresholds of the latents",
    "neighbours": "look for copies of training images among samples",
    "duplicates": "list the near-duplicates of a data set",
    "prepare": "decode a data set once, at all resolutions of networks that grow",
    "report": "write a page of a run: report.html",
    "compare": "put the runs of a sweep side by side",
    "bench": "measure the speed of training",
    "list": "show models, losses, data sets and everything else there is to choose; or the runs",
}

HELP = f"""gan-lab: GANs that compose

usage: gan-lab <command> [group=choice] [key=value] [flags]

commands
{chr(10).join(f"  {name:12}{text}" for name, text in COMMANDS.items())}

examples
  gan-lab train                                           DCGAN on handwritten digits, three minutes on a CPU
  gan-lab train model=wgan_gp dataset=ring architecture=mlp
  gan-lab train dataset=image_folder dataset.source=photos.zip dataset.resolution=64
  gan-lab train -m model=dcgan,lsgan,wgan_gp seed=0,1,2   a sweep
  gan-lab sample count=64 seed=7                          more from the newest run
  gan-lab interpolate seconds=10 out=walk.mp4             a smooth walk through its latents
  gan-lab export out=digits.safetensors                   the newest run's generator as one file
  gan-lab evaluate metrics=[fd] extractor=efflite0        how far the newest run's samples are from the real images
  gan-lab truncation extractor=efflite0                   what truncated latents gain in fidelity and lose in diversity
  gan-lab neighbours extractor=efflite0                   whether the newest run copies its training images
  gan-lab duplicates dataset=digits                       what a training set holds more than once
  gan-lab prepare dataset=digits out=prepared/digits      a data set decoded once, at every side from 4 pixels on
  gan-lab report                                          a page of the newest run, to open in a browser
  gan-lab compare                                         the newest sweep: a table over seeds, curves, samples, a page
  gan-lab bench model=dcgan hardware=cpu                  images per second, and where the time goes
  gan-lab list                                            what there is to choose
  gan-lab list runs                                       all runs, how far they are and how they ended

gan-lab <command> --help shows the groups, gan-lab <command> --cfg job every key with its value.
Completion with TAB: eval "$(gan-lab -sc install=bash)"   (also for zsh; fish: gan-lab -sc install=fish | source)
"""


def main() -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
    elif arguments[0] == "--version":
        from gan_lab import __version__

        print(f"gan-lab {__version__}")
    elif arguments[0] in ("-sc", "--shell-completion", "--shell_completion"):
        _complete(arguments)
    elif arguments[0] in COMMANDS:
        _dispatch(arguments[0], arguments[1:])
    else:
        print(f"gan-lab: {arguments[0]} is not a command: choose from {', '.join(COMMANDS)}.", file=sys.stderr)
        raise SystemExit(2)


def _dispatch(command: str, arguments: list[str]) -> None:
    module = import_module(f"gan_lab.cli.{command}")
    # Hydra reads sys.argv. Lightning starts further processes as `python -m <name of __main__> <sys.argv>`, so the
    # command takes the place of this program.
    sys.argv = [str(module.__file__), *arguments]
    sys.modules["__main__"].__spec__ = module.__spec__
    module.main()


def _complete(arguments: list[str]) -> None:
    """Shell completion. Hydra completes the overrides of one application; the command word before them is ours."""
    if "install=" in arguments[-1]:  # or uninstall=
        # Hydra names the program to complete after sys.argv[0].
        sys.argv = [sys.argv[0], *arguments]
        import_module("gan_lab.cli.train").main()
        return
    line = os.environ.get("COMP_LINE", "")
    words = line.split()[1:] + [""] * line.endswith(" ")
    if len(words) <= 1:
        print("\n".join(command for command in COMMANDS if command.startswith("".join(words))))
    elif words[0] in COMMANDS:
        os.environ["COMP_LINE"] = " ".join(["gan-lab", *words[1:]])
        _dispatch(words[0], arguments)


if __name__ == "__main__":
    main()
