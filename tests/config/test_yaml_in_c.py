"""Configs have the same contents whether LibYAML or OmegaConf's own loader parses them."""

import pytest
import yaml
from omegaconf import OmegaConf, _utils

from gan_lab.config.compose import compose
from gan_lab.config.schema import CONF
from gan_lab.config.yaml_in_c import _python_loader, use_libyaml

FILES = sorted(CONF.rglob("*.yaml"))

VALUES = """
numbers: [1, 1e3, 1.0e-4, 1e-4, .5, 1_000, 0x10, 0o7, 017, .inf, -.INF, .nan, 1:30]
texts: [yes, no, on, off, "on", 2024-01-01, 12:30:45, ~, null, '${a.b}', "é", 'a: b', null]
booleans: [true, False]
folded: >
  a
  b
merged: {<<: {x: 1}, y: 2}
"""


@pytest.fixture
def python_loader(monkeypatch):
    monkeypatch.setattr(_utils, "get_yaml_loader", _python_loader)


def parsed_by_both(text):
    expected = OmegaConf.create(text)
    use_libyaml()
    assert "CParser" in [each.__name__ for each in _utils.get_yaml_loader().__mro__]
    return OmegaConf.create(text), expected


def test_every_file_of_conf_has_the_same_contents(python_loader):
    use_libyaml()
    assert len(FILES) > 250
    for file in FILES:
        assert yaml.load(file.read_text(), _utils.get_yaml_loader()) == yaml.load(file.read_text(), _python_loader())


def test_values_have_the_same_types(python_loader):
    found, expected = parsed_by_both(VALUES)
    assert repr(OmegaConf.to_container(found)) == repr(OmegaConf.to_container(expected))


@pytest.mark.parametrize(
    "text", ["a: 1\na: 2", "a: [1", "a: b: c", "a: !!python/object:os.system x", "\ta: 1", "a: &x 1\nb: *y"]
)
def test_the_same_texts_are_refused(text, python_loader):
    with pytest.raises(yaml.YAMLError):
        OmegaConf.create(text)
    use_libyaml()
    with pytest.raises(yaml.YAMLError):
        OmegaConf.create(text)


def test_hydra_composes_with_it():
    compose("debug=fast")
    assert "CParser" in [each.__name__ for each in _utils.get_yaml_loader().__mro__]
