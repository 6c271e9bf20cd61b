"""``cmpc import-tf``: the authors' checkpoint becomes an ordinary model folder, or one sentence says why not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cmpc.cli import main
from cmpc.errors import UserError
from cmpc.interop.tensorflow.checkpoint import open_checkpoint
from cmpc.interop.tensorflow.import_cmpc import import_cmpc
from cmpc.interop.tensorflow.names import variables
from cmpc.model_folder import load_model_folder
from cmpc.models.config import PRESETS, preset
from cmpc.models.paper.cmpc import CMPC
from interop.tables import write_float_bundle
from interop.tiny_network import TINY, WORDS, training_checkpoint, values_of, write_training_checkpoint
from reference.original_model import original_model
from reference.weights_rule import make


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_training_checkpoint(tmp_path / "unc_iter_700000.tfmodel")


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    WORDS.save(tmp_path / "vocabulary.txt")
    return tmp_path / "vocabulary.txt"


@pytest.fixture
def _tiny_paper_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "paper", TINY)


def assert_holds_the_variables(model: CMPC) -> None:
    """Every value of the network comes from the variable that it should come from."""
    state, filled = model.state_dict(), set()
    for variable in variables(TINY):
        expected = variable.to_parameter(values_of(variable.name, variable.shape))
        parameter = state[variable.parameter]
        place = parameter if variable.rows is None else parameter[variable.rows]
        assert place.shape == expected.shape
        np.testing.assert_array_equal(place.numpy(), expected)
        filled.add(variable.parameter)
    second_bias = "language.lstm.bias_hh_l0"
    assert set(state) - filled == {second_bias}
    assert not state[second_bias].any()


def test_every_parameter_comes_from_its_variable(checkpoint: Path) -> None:
    assert_holds_the_variables(import_cmpc(open_checkpoint(checkpoint), TINY))


def test_a_checkpoint_without_training_state_does_too(tmp_path: Path) -> None:
    needed = {variable.name for variable in variables(TINY)}
    write_float_bundle(
        tmp_path / "c", [(name, values) for name, values in training_checkpoint().items() if name in needed]
    )
    assert_holds_the_variables(import_cmpc(open_checkpoint(tmp_path / "c"), TINY))


def test_progress_ends_with_everything_done(checkpoint: Path) -> None:
    seen: list[tuple[int, int]] = []
    import_cmpc(open_checkpoint(checkpoint), TINY, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert (
        seen[-1][0] == seen[-1][1] == sum(4 * np.prod(v.shape) for v in {v.name: v for v in variables(TINY)}.values())
    )


def test_missing_unexpected_and_misshapen_variables_are_named_in_one_sentence(tmp_path: Path) -> None:
    tensors = training_checkpoint()
    for name in [name for name in tensors if name.startswith("bn2a_branch2b/")]:
        del tensors[name]
    tensors["text_objseg/score/DW"] = np.zeros((1, 1, 3, 1), np.float32)
    tensors["text_objseg/fc/DW"] = np.zeros(3, np.float32)
    write_float_bundle(tmp_path / "c", tensors.items())
    with pytest.raises(UserError) as raised:
        import_cmpc(open_checkpoint(tmp_path / "c"), TINY)
    total = len({variable.name for variable in variables(TINY)})
    assert str(raised.value) == (
        f"{tmp_path / 'c'} does not hold the published network: 4 of {total} variables missing (bn2a_branch2b/gamma, "
        "bn2a_branch2b/beta, bn2a_branch2b/moving_mean, ...); 1 unexpected (text_objseg/fc/DW); 1 of another shape or "
        "type (text_objseg/score/DW is float32 (1, 1, 3, 1) instead of float32 (3, 3, 3, 1))."
    )


@pytest.mark.usefixtures("_tiny_paper_preset")
@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_command_writes_a_model_folder(suffix: str, checkpoint: Path, vocabulary: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert main(["import-tf", f"{checkpoint}{suffix}", "--vocabulary", str(vocabulary), "--out", str(out)]) == 0
    loaded = load_model_folder(out)
    assert loaded.vocabulary == WORDS
    assert_holds_the_variables(loaded.model)
    assert checkpoint.name in (out / "README.md").read_text()


@pytest.mark.usefixtures("_tiny_paper_preset")
def test_another_vocabulary_is_refused(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataclasses.replace(WORDS, words=(*WORDS.words, "woman")).save(tmp_path / "other.txt")
    out = tmp_path / "model"
    assert main(["import-tf", str(checkpoint), "--vocabulary", str(tmp_path / "other.txt"), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "the vocabulary has 7 words, but the embedding in" in error
    assert "has 6 rows: give the vocabulary that the network was trained with." in error
    assert not out.exists()


@pytest.mark.usefixtures("_tiny_paper_preset")
def test_damage_in_the_middle_leaves_no_model_folder(
    checkpoint: Path, vocabulary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = checkpoint.with_name(f"{checkpoint.name}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[open_checkpoint(checkpoint).shape("text_objseg/Variable")[0]] ^= 1
    data.write_bytes(content)
    out = tmp_path / "model"
    assert main(["import-tf", str(checkpoint), "--vocabulary", str(vocabulary), "--out", str(out)]) == 1
    assert (
        "is damaged (the checksum of the tensor at 0 is wrong): copy or download it again." in capsys.readouterr().err
    )
    assert not out.exists()


def test_what_stands_at_out_is_never_replaced(
    checkpoint: Path, vocabulary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-tf", str(checkpoint), "--vocabulary", str(vocabulary), "--out", str(tmp_path)]) == 2
    assert "exists already: give --out a new folder." in capsys.readouterr().err
    assert vocabulary.exists()


IMPORT = """
import resource, sys
import torch
from cmpc.cli import main
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = main(sys.argv[1:])
print("grown", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
sys.exit(status)
"""


@pytest.mark.slow
def test_full_size_checkpoint_gives_the_reference_network_in_less_than_twice_its_memory(tmp_path: Path) -> None:
    config = preset("paper")
    names = sorted({(variable.name, variable.shape) for variable in variables(config)})
    prefix, out = tmp_path / "unc_iter_700000.tfmodel", tmp_path / "model"
    write_float_bundle(prefix, ((name, make(name, shape)) for name, shape in names))
    words = ("<pad>", "<go>", "<eos>", "<unk>", *(f"word{number}" for number in range(config.text.vocabulary_size - 4)))
    (tmp_path / "vocabulary.txt").write_text("\n".join(words) + "\n")
    command = ["import-tf", str(prefix), "--vocabulary", str(tmp_path / "vocabulary.txt"), "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", IMPORT, *command], capture_output=True, text=True, check=True)
    grown = int(done.stdout.split("grown")[1]) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 2 * prefix.with_name(f"{prefix.name}.data-00000-of-00001").stat().st_size
    imported, expected = load_model_folder(out).model.state_dict(), original_model().state_dict()
    assert imported.keys() == expected.keys()
    assert all(torch.equal(imported[name], value) for name, value in expected.items())
