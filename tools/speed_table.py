"""Print a table of training speeds as Markdown, a row when it is measured: for docs/speed.md.

    python tools/speed_table.py --hardware gpu gpu_bf16 --compile false true > table.md
    python tools/speed_table.py --models dcgan --resolutions 32 --hardware cpu bench.seconds=10

Other arguments are settings of every benchmark. The images are random.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from statistics import median

import gan_lab
from gan_lab.benchmark.report import BenchStage
from gan_lab.errors import TrainingError, UserError

COLUMNS = ("model", "pixels", "hardware", "compiled", "images per second", "ratio to the bare loop", "memory, GiB",
           "of the convolutions' speed", "conditions")  # fmt: skip


def rows(
    models: Sequence[str],
    resolutions: Sequence[int],
    hardware: Sequence[str],
    compiled: Sequence[str],
    given: list[str],
) -> Iterator[str]:
    """The lines of the table."""
    yield f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
    for model, resolution, kind, value in product(models, resolutions, hardware, compiled):
        settings = (
            f"model={model}",
            f"dataset.resolution={resolution}",
            f"hardware={kind}",
            f"hardware.compile={value}",
        )
        try:
            found = gan_lab.bench(*given, "dataset=noise", *settings)
            cells = [*measured_cells(found.stages[-1]), found.conditions]
        except (UserError, TrainingError) as error:
            cells = [f"not measured: {error}", "", "", "", ""]
        yield f"| {' | '.join([f'`{model}`', str(resolution), f'`{kind}`', value, *cells])} |"


def measured_cells(stage: BenchStage) -> list[str]:
    """Speed, ratio, memory and fraction of the device's speed."""
    found, operations = stage.measured, stage.estimated and stage.estimated.operations
    assert found is not None
    ratios = found.ratios
    ratio = f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})" if ratios else ""
    fraction = f"{found.images_per_second * operations / found.device.convolution:.0%}" if operations else ""
    return [f"{found.images_per_second:,.0f}", ratio, f"{found.peak_memory_bytes / 2**30:.1f}", fraction]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["dcgan", "sngan", "biggan", "stylegan2"])
    parser.add_argument("--resolutions", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--hardware", nargs="+", default=["gpu", "gpu_bf16"])
    parser.add_argument("--compile", nargs="+", default=["false", "true"])
    args, given = parser.parse_known_args()
    for row in rows(args.models, args.resolutions, args.hardware, args.compile, given):
        print(row, flush=True)


if __name__ == "__main__":
    main()
