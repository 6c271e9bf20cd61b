from __future__ import annotations

import contextlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmpc.data.sources.restricted_pickle import read_plain_pickle
from cmpc.errors import UserError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Payload:
    """What an attacker pickles: makes the folder named when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=PLAIN, protocol=st.integers(0, 5))
def test_plain_data_of_every_protocol_is_read(tmp_path: Path, content: object, protocol: int) -> None:
    path = tmp_path / "plain.p"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert read_plain_pickle(path) == content


@pytest.mark.parametrize("name", ["refcoco/refs(unc).p", "refcoco+/refs(unc).p", "refcocog/refs(google).p"])
def test_pickles_of_python_2_are_read(refer: Path, name: str) -> None:
    entries = read_plain_pickle(refer / name)
    assert entries == pickle.loads((refer / name).read_bytes(), encoding="latin1")
    assert entries[0]["sentences"][0]["sent"]


def test_byte_strings_are_utf_8_or_else_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "text.p"
    path.write_bytes(b"\x80\x02U\x05caf\xc3\xa9.")
    assert read_plain_pickle(path) == "café"
    path.write_bytes(b"\x80\x02U\x04caf\xe9.")
    assert read_plain_pickle(path) == "café"


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_of_numpy_are_numbers(tmp_path: Path, protocol: int) -> None:
    values = [np.int64(-5), np.uint8(250), np.float32(0.5), np.float64(1e300), np.bool_(True), np.str_("né")]
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([{"ids": values}, "text"], protocol=protocol))
    content = read_plain_pickle(path)
    assert content == [{"ids": [-5, 250, 0.5, 1e300, True, "né"]}, "text"]
    assert [type(value) for value in content[0]["ids"]] == [int, int, float, float, bool, str]


def test_numbers_of_numpy_written_by_python_2_are_numbers(tmp_path: Path) -> None:
    scalar = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02i8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ"
    for content, number in ((b"\x05\x01" + bytes(6), 261), (b"\xc3\xa9" + bytes(6), 0xA9C3), (b"\xe9" + bytes(7), 233)):
        path = tmp_path / "refs.p"
        path.write_bytes(b"\x80\x02" + scalar + b"\xff\xff\xff\xffK\x00tbU\x08" + content + b"tR.")
        assert read_plain_pickle(path) == number


@pytest.mark.parametrize("value", [np.arange(3), np.array([None]), b"bytes", {1}, np.datetime64("2020-01-01")])
def test_other_objects_are_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([value], protocol=4))
    with pytest.raises(UserError, match=r"refs\.p"):
        read_plain_pickle(path)


@pytest.mark.parametrize("protocol", range(6))
def test_malicious_pickle_is_refused_without_executing_it(tmp_path: Path, protocol: int) -> None:
    folder = tmp_path / "made by the pickle"
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps([{"ref_id": 1}, Payload(folder)], protocol=protocol))
    with pytest.raises(UserError, match="was not executed"):
        read_plain_pickle(path)
    assert not folder.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02\x82\x01.",
        b"Pidentity\n.",
        b"\x80\x02}}b.",
    ],
    ids=["GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "PERSID", "BUILD"],
)
def test_no_instruction_reaches_beyond_plain_data(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(program)
    with pytest.raises(UserError, match="was not executed"):
        read_plain_pickle(path)


def test_demand_for_huge_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".")
    with pytest.raises(UserError):
        read_plain_pickle(path)
    path.write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")
    assert read_plain_pickle(path) == []


def test_truncated_pickle_is_refused(refer: Path) -> None:
    path = refer / "refcocog" / "refs(umd).p"
    content = path.read_bytes()
    for kept in range(0, len(content) - 1, 97):
        path.write_bytes(content[:kept])
        with pytest.raises(UserError, match="cut short or damaged"):
            read_plain_pickle(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "refs.p"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert isinstance(read_plain_pickle(path), dict | list | str | int | float | None)
