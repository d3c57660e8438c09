import os
from pathlib import Path

import pytest

from hms_search.component import Component
from hms_search.document import dump_yaml, parse_yaml, read_yaml
from hms_search.errors import ConfigError


def test_numbers_and_words_are_read_as_yaml_1_2_says() -> None:
    content = parse_yaml("lr: 1e-3\nfreeze: no\nsteps: 0o10\n", source="a.yaml").content
    assert content == {"lr": 0.001, "freeze": "no", "steps": 8}
    assert type(content["lr"]) is float


def test_a_place_names_file_and_line_or_the_nearest_parent() -> None:
    document = parse_yaml("a: 1\nb:\n  c: [1,\n    2]\n", source="a.yaml")
    assert document.place(("b", "c", 1)) == "a.yaml:4"
    assert document.place(("b", "missing", "deeper")) == "a.yaml:2"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("a: 1\nb: *nope\n", 2, "not valid YAML: found undefined alias 'nope'"),
        ("a: 1\n*nope : 2\n", 2, "not valid YAML: found undefined alias 'nope'"),
    ],
)
def test_malformed_yaml_is_an_error_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        parse_yaml(text, source="bad.yaml")
    assert str(caught.value).startswith(f"bad.yaml:{line}:")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file: .*nothing\.yaml"):
        read_yaml(tmp_path / "nothing.yaml")


def test_a_setting_reaches_keys_that_hold_dots() -> None:
    document = parse_yaml("parameters:\n  model.dropout: {low: 0}\n", source="a.yaml")
    changed = document.with_setting("parameters.model.dropout.low=0.1").with_setting("parameters.model.width=[1e-3, x]")
    assert changed.content == {"parameters": {"model.dropout": {"low": 0.1}, "model.width": [0.001, "x"]}}
    assert changed.place(("parameters", "model.dropout", "low")) == "--set parameters.model.dropout.low"
    assert document.content == {"parameters": {"model.dropout": {"low": 0}}}


@pytest.mark.parametrize("setting", ["trials", "=3", "name.first=x"])
def test_a_setting_that_cannot_be_put_in_is_an_error(setting: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_yaml("name: x\n", source="a.yaml").with_setting(setting)


def test_dumped_yaml_reads_back_the_same() -> None:
    content = {"a": 1.0e-05, "b": [1, {"c": None, "d": True, "e": "no"}], "f.g": "1e-3", "h": {}}
    assert parse_yaml(dump_yaml(content), source="x").content == content


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:pathlib.Path.touch [pwned]",
        "a: !!python/name:os.system",
        "- !!python/object/new:os.system [touch pwned]",
        "a: !anything {b: 1}",
        "a: !!binary aGk=",
        "? !!str key\n: 1",
    ],
)
def test_tags_are_refused_and_make_nothing(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^bad\.yaml:1: a tag, .*; write the plain value"):
        parse_yaml(text, source="bad.yaml")
    assert not list(tmp_path.iterdir())


def test_aliases_that_multiply_are_refused_before_they_are_filled_in() -> None:
    lines = ["a0: &a0 [laugh, laugh]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30))]
    with pytest.raises(ConfigError, match=r"^bomb\.yaml:\d: more than 100000 values"):
        parse_yaml("\n".join(lines), source="bomb.yaml")


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "&a {b: *a}", "a: &a 1\nb: &a [*a]", "[" * 100_000, "{a: " * 1000, "- " * 1000]
)
def test_endless_and_deep_documents_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"more than .*; that is no document of ours"):
        parse_yaml(text, source="deep.yaml")


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not valid YAML: .*digits"):
        parse_yaml(f"seed: {'9' * 5000}", source="long.yaml")


def test_an_anchor_used_twice_is_filled_in() -> None:
    text = "one: &rate {lr: 1e-3}\ntwo: *rate\nthree: {<<: *rate, steps: 2}\n"
    content = parse_yaml(text, source="a.yaml").content
    assert content == {"one": {"lr": 0.001}, "two": {"lr": 0.001}, "three": {"steps": 2, "lr": 0.001}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("trials: 0x" + "f" * 4000, 1),
        ("a: 1\nb:\n  - 1\n  - -0x" + "f" * 4000, 4),
        ("a: 1\n0x" + "f" * 100 + ": 2", 2),
        ("x: 1\nseed: 18446744073709551616", 2),
        ("seed: 0b1" + "0" * 64, 1),
    ],
)
def test_a_whole_number_of_more_than_64_bits_is_an_error_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=r"expected a whole number below 2\*\*64, found one of \d+ bits") as caught:
        parse_yaml(text, source="bad.yaml")
    assert str(caught.value).startswith(f"bad.yaml:{line}:")
    assert len(str(caught.value)) < 100


def test_a_seed_may_have_64_bits() -> None:
    content = parse_yaml("a: 18446744073709551615\nb: -18446744073709551615", source="a.yaml").content
    assert content == {"a": 2**64 - 1, "b": 1 - 2**64}


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("? [1, 2]\n: 3", 1, "a list or a mapping"),
        ("a: 1\n? {b: 1}\n: 3", 2, "a list or a mapping"),
        ("a: &a [1]\n*a : 2", 2, "a list or a mapping"),
        ("? &a [1]\n: *a", 1, "a list or a mapping"),
        ("- x\n- ? - 1\n  : 2", 2, "a list or a mapping"),
        ("? [[1], {a: b}]\n: 3", 1, "a list or a mapping"),
        ("a: 1\n2001-01-01: 3", 2, "2001-01-01"),
        ("a: {null: 3}", 1, "nothing"),
    ],
)
def test_a_key_that_is_no_word_or_number_is_an_error_with_its_line(text: str, line: int, found: str) -> None:
    with pytest.raises(ConfigError, match="expected a word or a number as key, found ") as caught:
        parse_yaml(text, source="bad.yaml")
    assert str(caught.value).startswith(f"bad.yaml:{line}: ")
    assert f"found {found}" in str(caught.value)


@pytest.mark.parametrize("text", ["? a\n: [b]", "&k a: {*k : [1, {c: 2}]}", "a: &v [1]\nb: *v", "- {a: [1]}\n- a"])
def test_keys_that_are_words_are_told_from_values_that_are_lists(text: str) -> None:
    assert parse_yaml(text, source="a.yaml").content


@pytest.mark.parametrize(("key", "shown"), [("1", "1"), ("true", "True"), ("1.5", "1.5"), ("two", "two")])
def test_an_unknown_key_is_named_whatever_its_kind(key: str, shown: str) -> None:
    class Named(Component):
        size: int = 1

    with pytest.raises(ConfigError, match=rf"^a\.yaml:2: {shown}: unknown key .*; known: size$"):
        Named.from_document(parse_yaml(f"size: 2\n{key}: 3\n", source="a.yaml"))


@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match=f"cannot read {path}: it is no file"):
            read_yaml(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(Path("a\0b.yaml"))
