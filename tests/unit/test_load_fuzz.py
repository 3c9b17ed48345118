"""Whatever a file holds, reading it gives a Lab or BadFile, and nothing else."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labctl.errors import BadFile
from labctl.lab.load import load_lab
from labctl.lab.model import Lab
from labctl.packaged import data_file

TEXT = data_file("compose.yaml").read_text(encoding="utf-8")
DEFAULT: dict[str, Any] = yaml.safe_load(TEXT)
WORDS = [
    "x-lab",
    "services",
    "networks",
    "node1",
    "internal",
    "127.0.0.1",
    "192.168.90.110",
    "${A:-b}",
    "$",
    "<<",
]

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.sampled_from(WORDS)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=6) | st.sampled_from(WORDS), inner, max_size=3),
    ),
    max_leaves=8,
)
quick = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def lab_or_bad_file(content: bytes, *, as_override: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yaml"
        path.write_bytes(content)
        refusal: BadFile | None = None
        try:
            lab = load_lab("lab", overrides=[path]) if as_override else load_lab("lab", file=path)
        except BadFile as error:
            refusal = error
        if refusal is not None:
            assert refusal.details
            assert refusal.mend
            return
        assert isinstance(lab, Lab)
        assert lab.hosts_table().startswith("127.0.0.1 localhost\n")
        assert all(node.spec_hash(lab) for node in lab.nodes)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key path below the top."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in pairs for place in [(*path, key), *places(value, (*path, key))]]


PLACES = places(DEFAULT)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The default file with one to three values taken away, replaced, renamed or put elsewhere."""
    data = copy.deepcopy(DEFAULT)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(PLACES))
        holder: Any = data
        try:
            for part in place[:-1]:
                holder = holder[part]
            held = holder[place[-1]]
        except (KeyError, IndexError, TypeError):
            continue
        action = draw(st.sampled_from(["delete", "replace", "rename", "copy"]))
        if action == "delete":
            del holder[place[-1]]
        elif action == "replace":
            holder[place[-1]] = draw(values)
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=8) | st.sampled_from([place[-1] for place in PLACES]))] = held
    return yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace")


@quick
@given(mutated())
def test_a_changed_file(content: bytes) -> None:
    lab_or_bad_file(content)


@quick
@given(values)
def test_any_yaml(data: Any) -> None:
    content = yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace")
    lab_or_bad_file(content)
    lab_or_bad_file(content, as_override=True)


@quick
@given(st.dictionaries(st.sampled_from(["x-lab", "services", "networks"]), values, min_size=1))
def test_any_override(data: Any) -> None:
    content = yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace")
    lab_or_bad_file(content, as_override=True)


@quick
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    lab_or_bad_file(content)


@quick
@given(
    st.text(alphabet="{}[]:,-&*!|>'\"%@`#? \n\tab$~<", max_size=60)
    | st.lists(
        st.sampled_from(
            ["a: ", "&a ", "*a", "- ", "!reset ", "!override ", "<<: ", "{", "}", "\n", "  ", "x"]
        )
    ).map("".join)
)
def test_any_yaml_like_text(text: str) -> None:
    lab_or_bad_file(text.encode())
    lab_or_bad_file(text.encode(), as_override=True)


@quick
@given(
    st.integers(0, len(TEXT.splitlines()) - 1),
    st.sampled_from(["delete", "duplicate", "indent", "cut"]),
    st.data(),
)
def test_a_changed_line(number: int, action: str, data: st.DataObject) -> None:
    lines = TEXT.splitlines()
    if action == "delete":
        del lines[number]
    elif action == "duplicate":
        lines.insert(data.draw(st.integers(0, len(lines))), lines[number])
    elif action == "indent":
        lines[number] = "  " + lines[number]
    else:
        lines[number] = lines[number][: data.draw(st.integers(0, len(lines[number])))]
    lab_or_bad_file("\n".join(lines).encode())
