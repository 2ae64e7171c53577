"""Rules of the sources: no unpickling, one place that builds from configs, one that writes files."""

import ast
from functools import cache
from pathlib import Path

import gan_lab

SOURCES = sorted(Path(gan_lab.__file__).parent.rglob("*.py"))


@cache
def all_calls() -> list[tuple[str, str, dict[str, str]]]:
    """Place, dotted name and keywords of every call in the sources."""
    return [
        (
            f"{file.name}:{node.lineno}",
            ast.unparse(node.func),
            {w.arg: ast.unparse(w.value) for w in node.keywords if w.arg},
        )
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    ]


def calls(*names: str) -> dict[str, dict[str, str]]:
    """Place and keywords of every call whose dotted name ends with one of the names."""
    return {
        place: keywords for place, name, keywords in all_calls() if f".{name}".endswith(tuple(f".{n}" for n in names))
    }


def test_nothing_is_unpickled() -> None:
    """`torch.load` and the Trainer's `fit` with `weights_only`; nothing else unpickles."""
    loads = calls("torch.load")
    assert len(loads) >= 4 and {keywords.get("weights_only") for keywords in loads.values()} == {"True"}, loads
    fits = [keywords for keywords in calls("fit").values() if "ckpt_path" in keywords]
    assert fits and {keywords.get("weights_only") for keywords in fits} <= {"True", "None if start is None else True"}
    assert not [place for place, keywords in calls("load").items() if "allow_pickle" in keywords]
    doors = ("pickle.load", "pickle.loads", "Unpickler", "joblib.load", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load",
             "hub.load", "load_from_checkpoint", "jit.load")  # fmt: skip
    assert not calls(*doors)
    assert not [place for place, name, _ in all_calls() if name in ("eval", "exec", "compile", "__import__")]


def test_hydra_builds_in_one_place() -> None:
    def files(*names: str) -> set[str]:
        return {place.partition(":")[0] for place in calls(*names)}

    assert files("utils.instantiate") == {"build.py"}
    assert files("get_method", "get_class", "get_object", "resolve_name") == {"targets.py"}
    assert files("import_module") <= {"targets.py", "main.py", "imports.py", "deferred.py", "remote.py", "__init__.py"}


def test_texts_of_run_folders_are_read_in_one_place() -> None:
    """`gan_lab.files.read_text` limits the size and refuses pipes; others read files of gan_lab or of their own run."""
    of_gan_lab = {"command_help.py", "groups.py", "list.py", "targets.py", "values_of_runs.py"}
    of_this_run = {"accepting.py", "build.py", "checkpoints.py", "wandb.py", "sample_grids.py"}  # its folder is locked
    of_the_machine = {"report.py", "cache.py", "new.py", "space_folder.py"}
    of_data_sets = {file.name for file in SOURCES if file.parent.name == "data"}
    found = {place.partition(":")[0] for place, name, _ in all_calls() if name.endswith((".read_text", ".read_bytes"))}
    assert found <= {"files.py"} | of_gan_lab | of_this_run | of_the_machine | of_data_sets


def test_files_are_written_in_one_place() -> None:
    """Files are written through `gan_lab.files`, except arrays of a prepared set and files of libraries."""
    allowed = {"files.py", "prepare.py", "extractors.py"}
    found = {
        file.name
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "open"
        and any(isinstance(a, ast.Constant) and isinstance(a.value,
        str) and set(a.value) & set("wax+") for a in node.args)
    }  # fmt: skip
    writers = (".write_text", ".write_bytes", "save_file", "np.save", ".savefig", "os.replace", "mkstemp")
    found |= {place.partition(":")[0] for place, name, _ in all_calls() if name.endswith(writers)}
    assert found <= allowed, found
