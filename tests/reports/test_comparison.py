"""Comparison of runs: groups over seeds, names by differing settings, reports of runs that are left out."""

import csv
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import gan_lab
from gan_lab.charts.heat_map import Grid
from gan_lab.errors import ConfigError, DataError
from gan_lab.keys import leaves
from gan_lab.reports import compare as comparing
from gan_lab.reports.compare import compare_runs
from gan_lab.reports.comparison import compare
from gan_lab.reports.listing import list_runs
from gan_lab.reports.run_page import write_report
from gan_lab.reports.tables import aligned, cell, mean_and_sd
from gan_lab.runs.folder import read_finished
from gan_lab.runs.latest import newest_sweep
from gan_lab.runs.search import find_runs

METRICS = ["eval/*", "train/*/adversarial"]

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes a folder as `gan-lab train` leaves it: two rows, at half of the budget and at its end."""

    def write(
        name: str,
        config: dict[str, Any],
        *,
        kl: float = 1.0,
        typed: tuple[str, ...] = (),
        choices: dict[str, str] | None = None,
        seen: int = 200,
        records: dict[str, Any] | None = None,
    ) -> Path:
        folder = tmp_path / "runs" / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / "samples").mkdir()
        base = {"run": {"name": name, "dir": str(folder)}, "budget": {"images": 200}, "data": {"path": f"{folder}/x"}}
        seed = config.get("seed", 0)
        complete = base | {"seed": seed, "dataset": {"seed": seed}, "logger": {"csv": {"name": name}}} | config
        (folder / "config.yaml").write_text(yaml.safe_dump(complete))
        notes = {"hydra": {"runtime": {"choices": (choices or {}) | {"hydra/help": "train", "debug": None}}}}
        (folder / ".hydra/hydra.yaml").write_text(yaml.safe_dump(notes))
        (folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump(list(typed)))
        with open(folder / "metrics.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["eval/kl", "eval/raw/kl", "eval/seconds", "progress/images_seen", "train/d/adversarial", "step"]
            )
            for images, value in ((seen // 2, 2 * kl), (seen, kl)):
                writer.writerow(["", "", "", images, 0.5, images])
                writer.writerow([value, 3 * value, 9.9, images, "", images])
        if records is not None:
            (folder / "results.json").write_text(json.dumps(records))
        for images in (0, seen // 2, seen):
            Image.new("L", (20, 20), 100).save(folder / "samples" / f"ema_{images:010d}.png")
        Image.new("L", (20, 20), 0).save(folder / "samples" / "real.png")
        return folder

    return write


def test_seeds_make_a_group(make: Make, tmp_path: Path) -> None:
    for k, (lr, seed) in enumerate([(0.1, 0), (0.2, 0), (0.1, 1), (0.2, 1), (0.1, 2)]):
        make(str(k), {"lr": lr, "seed": seed}, kl=float(k))
    comparison = compare(tmp_path, METRICS)
    assert [group.name for group in comparison.groups] == ["lr=0.1", "lr=0.2"]
    assert [[run.seed for run in group.runs] for group in comparison.groups] == [["0", "1", "2"], ["0", "1"]]
    assert comparison.metrics == ["eval/kl", "train/d/adversarial"]  # neither raw nor seconds
    assert comparison.table() == [
        ["runs", "what differs", "eval/kl", "train/d/adversarial"],
        ["0, 2, 4", "lr=0.1", "2 ± 2", "0.5 ± 0"],
        ["1, 3", "lr=0.2", "2 ± 1.4", "0.5 ± 0"],
    ]
    assert comparison.differing == [["key", "lr=0.1", "lr=0.2"], ["lr", "0.1", "0.2"]]


def test_rows_for_pandas(make: Make, tmp_path: Path) -> None:
    for k, (lr, seed) in enumerate([(0.1, 0), (0.1, 1), ("a<b", 0)]):
        make(str(k), {"lr": lr, "seed": seed}, kl=float(k))
    compared = gan_lab.compare([tmp_path / "runs/0", tmp_path / "runs/1", tmp_path / "runs/2"], show=["eval/*"])
    assert compared.rows == [
        {"run": "0", "group": "lr=0.1", "seed": 0, "lr": 0.1, "eval/kl": 0.0},
        {"run": "1", "group": "lr=0.1", "seed": 1, "lr": 0.1, "eval/kl": 1.0},
        {"run": "2", "group": "lr=a<b", "seed": 0, "lr": "a<b", "eval/kl": 2.0},
    ]
    means = compared.to_pandas().groupby("group")["eval/kl"].mean()
    assert means["lr=0.1"] == 0.5
    assert "<td>lr=a&lt;b</td>" in compared._repr_html_()


def test_without_pandas(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("0", {})
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="to_pandas needs pandas: pip install pandas, or use rows"):
        gan_lab.compare(tmp_path / "runs/0", show=["eval/*"]).to_pandas()


def test_mean_and_deviation_by_hand() -> None:
    assert mean_and_sd([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(7)))
    assert mean_and_sd([5.0]) == (5.0, None)
    assert [cell(v) for v in ([], [1.0], [1.0, 2.0], [math.nan], [1.0, math.inf, 3.0])] == [
        "", "1", "1.5 ± 0.71", "nan", "2 ± 1.4 (1 nan)",
    ]  # fmt: skip


def test_what_differs_is_what_was_typed(make: Make, tmp_path: Path) -> None:
    """A model changes many keys; its name is enough. The other run's choice is known without an override."""
    many = {"loss": {"_target_": "L2"}, "lr": 0.5, "optimizer": {"lr": 0.5}}
    make(
        "a",
        {"loss": {"_target_": "L1"}, "lr": 0.1, "optimizer": {"lr": 0.1}},
        choices={"dataset": "ring", "model": "gan"},
    )
    make("b", many, typed=("model=lsgan", "seed=1", "run.name=b"), choices={"dataset": "ring", "model": "lsgan"})
    comparison = compare(tmp_path, METRICS)
    assert [group.settings for group in comparison.groups] == ["model=gan", "model=lsgan"]
    assert [row[0] for row in comparison.differing] == ["key", "lr", "loss._target_"]  # optimizer.lr follows lr


def test_each_row_names_its_runs(make: Make, tmp_path: Path) -> None:
    """With what differs beside them; only trials of a sweep, which have numbers, are called by their settings."""
    mine = make("mine", {"lr": 0.1}, typed=("lr=0.1",))
    make("yours", {"lr": 0.2}, typed=("lr=0.2",))
    make("again", {"lr": 0.2, "seed": 1})
    comparison = compare(tmp_path, METRICS)
    assert [group.name for group in comparison.groups] == ["again, yours", "mine"]
    assert [row[:2] for row in comparison.table()[1:]] == [["again, yours", "lr=0.2"], ["mine", "lr=0.1"]]
    page = compare_runs(tmp_path / "runs", METRICS, 6).folder / "sweep.html"
    assert "again, yours</td>" in page.read_text() and "lr=0.2</td>" in page.read_text()
    (alone,) = compare(mine, METRICS).groups
    assert (alone.name, alone.settings) == ("mine", "")


def test_runs_with_the_same_name_are_named_by_their_paths(make: Make, tmp_path: Path) -> None:
    """Also where they were measured differently."""
    for name, lr in (("x/0", 1), ("y/0", 2), ("y/1", 3)):
        make(name, {"lr": lr}, records={"eval/kl": RECORD | {"bins": 50 if name == "x/0" else 25}})
    comparison = compare([tmp_path / "runs/x", tmp_path / "runs/y"], METRICS)
    assert [row[0] for row in comparison.table()[1:]] == ["x/0", "y/0", "y/1", "(perfect sampler)"]
    assert comparison.mixed == ["bins of eval/kl is 50 in x/0 and 25 in y/0, y/1"]


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("resume", None, "runs/b"),
        ("allow_changes", False, True),
        ("allow_targets", [], ["mine"]),
        ("time_limit", None, "01:00:00"),
        ("logger", {"csv": {}}, {"wandb": {"project": "x"}}),
        ("hardware", {"num_workers": 2, "devices": 1}, {"num_workers": 4, "devices": 2}),
        ("callbacks", {"sample_grids": {"count": 9}}, {"sample_grids": {"count": 64}}),
        ("evaluation", {"samples": 5000}, {"samples": 10000}),
        ("budget", {"images": 200, "kimg": None}, {"images": 200, "kimg": 0.2}),
        ("dataset", {"cache": "memory"}, {"cache": "disk"}),
    ],
)
def test_settings_outside_of_training_are_not_compared(
    key: str, old: Any, new: Any, make: Make, tmp_path: Path
) -> None:
    """Neither in a value nor typed nor as the choice of a group."""
    choices = {"hardware": "cpu", "logger": "csv"}, {"hardware": "gpu", "logger": "wandb"}
    typed = [tuple(f"{name}={text}" for name, text in leaves({key: value})) for value in (old, new)]
    make("a", {"lr": 0.1, key: old}, typed=(*typed[0], "run.name=a"), choices=choices[0])
    make("b", {"lr": 0.1, key: new, "seed": 1}, typed=(*typed[1], "seed=1"), choices=choices[1])
    make("c", {"lr": 0.2, key: new}, typed=typed[1], choices=choices[1])
    comparison = compare(tmp_path, METRICS)
    assert [(group.name, group.settings) for group in comparison.groups] == [("a, b", "lr=0.1"), ("c", "lr=0.2")]
    assert comparison.differing == [["key", "a, b", "c"], ["lr", "0.1", "0.2"]]


def test_another_path_of_the_same_data_is_not_a_difference(make: Make, tmp_path: Path) -> None:
    """Their content decides, if it is known."""
    for name, source, content in (("a", "x/faces", "ff"), ("b", "y/people", "ff"), ("c", "x/faces", "00")):
        config = {"dataset": {"source": source}, "data_content": {"hash": content}}
        make(name, config, typed=(f"dataset.source={source}",))
    runs = tmp_path / "runs"
    assert [group.name for group in compare([runs / "a", runs / "b"], METRICS).groups] == ["a, b"]
    assert [group.name for group in compare(runs, METRICS).groups] == ["a, b", "c"]


def test_as_many_keys_as_needed(make: Make, tmp_path: Path) -> None:
    for k, (lr, width) in enumerate([(1, 8), (1, 16), (2, 8)]):
        make(str(k), {"lr": lr, "net": {"width": width}}, typed=(f"lr={lr}",))
    assert [group.name for group in compare(tmp_path, METRICS).groups] == [
        "lr=1 width=8", "lr=1 width=16", "lr=2 width=8",
    ]  # fmt: skip


def test_results_win_over_the_log(make: Make, tmp_path: Path) -> None:
    record = {
        "value": 7.0,
        "ideal_value": 0.07,
        "weights": "ema",
        "seed": 0,
        "images_seen": 200,
        "version": "1",
        "bins": 50,
    }
    make("0", {}, records={"eval/kl": record})
    comparison = compare(tmp_path, METRICS)
    assert comparison.table()[1:] == [["0", "", "7", "0.5"], ["(perfect sampler)", "", "0.07", ""]]
    assert comparison.remarks() == ["Evaluated at 200 images: 0."]
    make("1", {"seed": 1}, records={"eval/kl": record | {"value": None}})
    assert compare(tmp_path, METRICS).table()[1][2] == "7 (1 nan)"


RECORD = {
    "value": 7.0,
    "ideal_value": 0.07,
    "weights": "ema",
    "seed": 0,
    "images_seen": 200,
    "version": "1",
    "bins": 50,
}


def test_other_protocols_are_named(make: Make, tmp_path: Path) -> None:
    make("a", {"lr": 1}, records={"eval/kl": RECORD})
    make("b", {"lr": 2}, records={"eval/kl": RECORD | {"bins": 25, "seed": 4, "ideal_value": 0.02}})
    make("c", {"lr": 3})
    assert compare(tmp_path, METRICS).remarks() == [
        "Without results.json, so from the end of metrics.csv: c.",
        "Evaluated at 200 images: a, b, c.",
        "Measured differently: bins of eval/kl is 50 in a and 25 in b.",
    ]


def test_other_protocols_are_refused(make: Make, tmp_path: Path) -> None:
    make("a", {"lr": 1}, records={"eval/kl": RECORD})
    make("b", {"lr": 2}, records={"eval/kl": RECORD | {"bins": 25}})
    make("c", {"lr": 3})
    with pytest.raises(
        ConfigError,
        match=r"^These runs were measured differently: bins of eval/kl is 50 in a and 25 in b; "
        r".* with mixed_protocols=true\.$",
    ):
        compare_runs(tmp_path, METRICS, 6)
    assert not list(tmp_path.glob("comparison.*"))
    printed = str(compare_runs(tmp_path, METRICS, 6, mixed_protocols=True))
    assert "Without results.json, so from the end of metrics.csv: c." in printed
    assert "Measured differently: bins of eval/kl is 50 in a and 25 in b." in printed
    assert "Measured differently" in (tmp_path / "comparison.md").read_text()
    compare_runs(tmp_path, ["train/d/*"], 6)  # of which nothing was measured otherwise


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"extractor_fingerprint": "ff"}, "extractor_fingerprint of eval/kl is none in a and ff in b"),
        ({"version": "2"}, "version of eval/kl is 1 in a and 2 in b"),
        ({"seed": 4, "images_seen": 400, "weights": "raw", "value": None, "ideal_value": None}, None),
    ],
)
def test_what_makes_another_protocol(
    change: dict[str, Any], difference: str | None, make: Make, tmp_path: Path
) -> None:
    make("a", {"lr": 1}, records={"eval/kl": RECORD})
    make("b", {"lr": 2}, records={"eval/kl": RECORD | change})
    assert compare(tmp_path, METRICS).mixed == ([] if difference is None else [difference])


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"eval/kl": "x"}, "eval/kl of results.json is x: it must be a mapping with a value"),
        (
            {"eval/kl": {"ideal_value": 1}},
            "eval/kl of results.json is {'ideal_value': 1}: it must be a mapping with a value",
        ),
        (
            {"eval/kl": RECORD | {"ideal_value": "x"}},
            "eval/kl of results.json has ideal_value=x: it must be a number, or null",
        ),
        (
            {"eval/kl": RECORD | {"seed": [1]}},
            "eval/kl of results.json has seed=[1]: it must be a whole number, or null",
        ),
        ([1], "results.json is not a mapping"),
    ],
)
def test_results_of_strangers_are_one_sentence(
    results: Any, reason: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each of the three commands that read all of a run."""
    monkeypatch.chdir(tmp_path)
    make("a", {"lr": 1}, records={"eval/kl": RECORD})
    wrong = make("b", {"lr": 2}, records=results)
    assert compare(tmp_path / "runs", METRICS).refused == {"b": reason}
    assert f"unreadable: {reason}" in str(list_runs(Path("runs")))
    assert write_report(wrong).is_file()


def test_many_differences_are_abbreviated(make: Make, tmp_path: Path) -> None:
    keys = [f"eval/{letter}" for letter in "klmno"]
    for k in range(6):
        record = RECORD | {"bins": 50 if k else 25, "eps": 1 if k else 2}
        make(str(k), {"lr": k}, records=dict.fromkeys(keys, record))
    bins = "bins of eval/k, eval/l, eval/m, 2 more is 25 in 0 and 50 in 1, 2, 3, 2 more"
    assert compare(tmp_path, ["eval/*"]).mixed == [
        bins,
        bins.replace("bins", "eps").replace("25", "2").replace("50", "1"),
    ]
    with pytest.raises(ConfigError, match=r"measured differently: bins of .* 2 more \(and 1 more\); measure"):
        compare_runs(tmp_path, ["eval/*"], 6)


def test_runs_that_cannot_be_compared_are_listed(make: Make, tmp_path: Path) -> None:
    make("0", {})
    make("1", {}, seen=150)
    (make("2", {}) / "metrics.csv").unlink()
    (make("3", {}) / "config.yaml").unlink()
    (make("4", {}) / "config.yaml").write_text("a: [")
    (make("5", {}) / "results.json").write_text("{")
    comparison = compare(tmp_path / "runs", METRICS)
    assert len(comparison.groups[0].runs) == 1
    reasons = {"1": "150 of 200 images", "2": "metrics.csv", "3": "config.yaml", "4": "expected", "5": "Expecting"}
    assert comparison.refused.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in comparison.refused[name], name
    assert "Left out: 1: it has seen 150 of 200 images." in comparison.text().splitlines()


def test_runs_are_in_numeric_order_and_run_folders_are_not_searched(make: Make, tmp_path: Path) -> None:
    for k in (10, 2, 0):
        make(f"sweep/{k}", {})
    (tmp_path / "runs/sweep/2/wandb/files").mkdir(parents=True)
    (tmp_path / "runs/sweep/2/wandb/files/config.yaml").write_text("a: 1")
    assert [path.name for path in find_runs(tmp_path)] == ["0", "2", "10"]
    assert find_runs(tmp_path / "runs/sweep/2") == [tmp_path / "runs/sweep/2"]


def test_curves_are_over_all_seeds(make: Make, tmp_path: Path) -> None:
    for seed, kl in enumerate((1.0, 3.0)):
        make(str(seed), {"seed": seed}, kl=kl)
    line = compare(tmp_path, METRICS).groups[0].curve("eval/kl")
    assert (line.x, line.y) == ([100, 200], [4, 2])
    assert line.low == pytest.approx([4 - math.sqrt(8), 2 - math.sqrt(2)])
    assert line.high == pytest.approx([4 + math.sqrt(8), 2 + math.sqrt(2)])


def test_curves_of_seeds_meet_where_all_have_numbers(make: Make, tmp_path: Path) -> None:
    make("0", {"seed": 0}, seen=200)
    make("1", {"seed": 1}, seen=400)
    assert compare(tmp_path, METRICS).groups[0].curve("eval/kl").x == [200]


def test_the_files(make: Make, tmp_path: Path) -> None:
    for k, (lr, seed) in enumerate([(1, 0), (1, 1), (2, 0)]):
        make(str(k), {"lr": lr, "seed": seed}, kl=float(k))
    printed = str(compare_runs(tmp_path / "runs", METRICS, 6, tmp_path / "out"))
    assert "0.5 ± 0.71" in printed and printed.endswith(
        ": comparison.md, comparison.csv, curves.png, sheet.png, sweep.html."
    )
    with open(tmp_path / "out/comparison.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["metric"], row["runs"]) for row in rows] == [
        ("lr=1", "eval/kl", "2"), ("lr=1", "train/d/adversarial", "2"),
        ("lr=2", "eval/kl", "1"), ("lr=2", "train/d/adversarial", "1"),
    ]  # fmt: skip
    assert float(rows[0]["sd"]) == pytest.approx(math.sqrt(0.5)) and rows[2]["sd"] == ""
    assert "| lr  | 1    | 2    |" in (tmp_path / "out/comparison.md").read_text()
    assert Image.open(tmp_path / "out/curves.png").width == 2 * 560
    sheet = Image.open(tmp_path / "out/sheet.png")
    assert sheet.width > 4 * 200 and sheet.height > 2 * 200  # three times and the truth, two groups


def test_runs_without_figures_or_curves(make: Make, tmp_path: Path) -> None:
    folder = make("0", {})
    for file in folder.glob("samples/*"):
        file.unlink()
    assert str(compare_runs(tmp_path, ["train/d/*"], 6, None)).endswith(
        "comparison.md, comparison.csv, curves.png, sweep.html."
    )


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"patterns": ["foo/*"]}, ConfigError, "show=.*foo.* matches no log key of these runs: they have .*eval/kl"),
        ({"columns": 1}, ConfigError, "columns=1 .*at least 2"),
        ({"root": Path("nowhere")}, ConfigError, "runs=nowhere is not a directory"),
    ],
)
def test_refusals(change: dict[str, Any], kind: type[Exception], sentence: str, make: Make, tmp_path: Path) -> None:
    make("0", {})
    with pytest.raises(kind, match=sentence):
        compare_runs(**({"root": tmp_path, "patterns": METRICS, "columns": 6, "out": None} | change))


def test_no_finished_run(make: Make, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty contains no finished run: name some, as in gan-lab compare"):
        compare(tmp_path / "empty", METRICS)
    make("0", {}, seen=20)
    with pytest.raises(DataError, match=r"contains no finished run \(runs/0: it has seen 20 of 200 images\)"):
        compare(tmp_path, METRICS)


@pytest.mark.parametrize("given", ["arguments", "list", "runs"])
def test_folders_given_from_python(given: str, make: Make, tmp_path: Path) -> None:
    """As arguments before the overrides, as one list, or as `runs=`; paths or texts."""
    folders = [make("a", {"lr": 0.1}), str(make("b", {"lr": 0.2}))]
    make("c", {"lr": 0.3})
    arguments = {"arguments": folders, "list": [folders], "runs": []}[given]
    settings: Any = {"runs": folders} if given == "runs" else {}
    found = gan_lab.compare(*arguments, "columns=3", out=tmp_path / "out", **settings)
    assert [run.path for group in found.comparison.groups for run in group.runs] == [Path(each) for each in folders]


def test_newest_sweep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runs=latest finds no sweep in .*multirun"):
        newest_sweep(tmp_path)
    (tmp_path / "multirun/one").mkdir(parents=True)
    assert newest_sweep(tmp_path).name == "one"


def test_settings_leave_out_what_is_the_runs_own(make: Make) -> None:
    run = read_finished(make("a", {"lr": 0.1, "empty": {}, "list": [1, 2], "nothing": None}))
    assert run.settings == {"budget.images": "200", "lr": "0.1", "list": "[1, 2]", "nothing": "null"}


def test_heat_map_has_the_mean_of_every_pair(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k, (a, b, seed) in enumerate([(0.1, 1, 0), (0.1, 1, 1), (0.1, 2, 0), (10.0, 1, 0)]):
        make(str(k), {"loss": {"a": a, "b": b}, "seed": seed}, kl=float(k))
    drawn: dict[str, Grid] = {}
    monkeypatch.setattr(comparing, "heat_maps", lambda grids: drawn.update(grids) or Image.new("L", (2, 2)))
    text = str(compare_runs(tmp_path / "runs", ["eval/*"], columns=2, heatmap=["loss.a", "loss.b"]))
    assert drawn == {"eval/kl": Grid(["0.1", "10.0"], ["1", "2"], [[0.5, 2.0], [3.0, None]], "loss.a", "loss.b")}
    assert "heatmap.png" in text and (tmp_path / "runs/heatmap.png").is_file()


@pytest.mark.parametrize(
    ("keys", "message"), [(["loss.a"], "give two config keys"), (["loss.a", "seed"], "is - in all")]
)
def test_heat_map_needs_two_keys_that_differ(make: Make, tmp_path: Path, keys: list[str], message: str) -> None:
    for k in range(2):
        make(str(k), {"loss": {"a": k}})
    with pytest.raises(ConfigError, match=message):
        compare_runs(tmp_path / "runs", ["eval/*"], columns=2, heatmap=keys)
    assert not list((tmp_path / "runs").glob("comparison.*"))


def test_groups_have_short_names(make: Make, tmp_path: Path) -> None:
    """As many parts of a key as are distinct, classes without their package, and files without their folder."""
    for k, (g, d, loss) in enumerate([(1, 1, "a.b.Hinge"), (2, 1, "a.b.Hinge"), (1, 2, "a.b.Hinge"), (1, 1, "c.Dual")]):
        optimizer = {"generator": {"lr": g}, "discriminator": {"lr": d}}
        typed = (f"optimizer.generator.lr={g}", f"optimizer.discriminator.lr={d}", f"loss._target_={loss}")
        make(str(k), {"optimizer": optimizer, "loss": {"_target_": loss}}, typed=typed)
    assert [group.name for group in compare(tmp_path, METRICS).groups] == [
        "generator.lr=1 discriminator.lr=1 loss=Hinge", "generator.lr=2 discriminator.lr=1 loss=Hinge",
        "generator.lr=1 discriminator.lr=2 loss=Hinge", "generator.lr=1 discriminator.lr=1 loss=Dual",
    ]  # fmt: skip


def test_a_list_of_runs(make: Make, tmp_path: Path) -> None:
    """Only these are compared, each once, in a new folder beside them."""
    runs = [make(name, {"lr": k}) for k, name in enumerate("abc")]
    for number in ("comparison", "comparison-2"):
        compared = compare_runs([runs[0], runs[2], runs[0]], METRICS, 6)
        assert compared.folder == tmp_path / "runs" / number
        assert [group.name for group in compared.comparison.groups] == ["a", "c"]


def test_what_differs_is_printed(make: Make, tmp_path: Path) -> None:
    """Also the number of parameters, which no setting states."""
    for k in range(2):
        folder = make(str(k), {"batch_size": 8 + k, "net": {"path": "x" * 90 + str(k)}})
        (folder / "environment.json").write_text(json.dumps([{"parameters": {"generator": 1000 + k, "other": 1}}]))
    text = compare(tmp_path, METRICS).text()
    assert "What differs:\n| key" in text and "1,001" in text and "batch_size" in text
    assert "x" * 39 + "…" in text and "x" * 40 not in text


def test_a_seed_that_was_run_twice_is_named(make: Make, tmp_path: Path) -> None:
    """Its deviation is none over seeds; another choice of the labels is another run."""
    for name, seed, labels in (("a", 0, 0), ("b", 0, 0), ("c", 1, 0), ("d", 0, 1)):
        make(name, {"seed": seed, "algorithm": {"labeled": {"seed": labels}}})
    remarks = compare(tmp_path, METRICS).remarks()
    assert [each for each in remarks if "seed" in each] == ["The same seed, so no other result: a, b."]


def test_values_of_different_losses_do_not_rank_runs(make: Make, tmp_path: Path) -> None:
    for k, loss in enumerate(("hinge", "minimax")):
        make(str(k), {"loss": {"_target_": f"x.{loss}"}}, choices={"loss": loss})
    remark = "Values of different losses (hinge, minimax) do not rank the runs."
    assert remark in compare(tmp_path, METRICS).remarks()
    assert remark not in compare(tmp_path, ["eval/*"]).remarks()


def test_without_an_evaluation_the_images_are_first(make: Make, tmp_path: Path) -> None:
    for k in range(2):
        file = make(str(k), {"lr": k}) / "metrics.csv"
        file.write_text(file.read_text().replace("eval/", "other/"))
    assert any(remark.startswith("No run was evaluated, so") for remark in compare(tmp_path, METRICS).remarks())
    compare_runs(tmp_path / "runs", METRICS, 6)
    text = (tmp_path / "runs/sweep.html").read_text()
    assert text.index("Samples of the averaged") < text.index(">Numbers<") and text.index("What differs") < text.index(
        "Samples of"
    )


def test_texts_in_a_table_of_markdown() -> None:
    """Names from files begin neither another cell nor another row nor a tag of HTML."""
    head, _, row = aligned([["name", "value"], ["a|b<svg onload=x>\nc", "1"]])
    assert row == r"| a\|b\<svg onload=x> c | 1     |" and head.count("|") == 3
