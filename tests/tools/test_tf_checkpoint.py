"""The checkpoint reader against a bundle that TensorFlow 2.21 itself wrote."""

from pathlib import Path

import numpy as np
import pytest
from tools.tf_checkpoint import (
    FOOTER_BYTES,
    TensorBundleError,
    crc32c,
    masked_crc32c,
    read_checkpoint,
    read_index,
)

DATA = Path(__file__).parent / "data"
INDEX, VALUES = "tiny.index", "tiny.data-00000-of-00001"


def copied(folder: Path, name: str, position: int, byte: int | None = None) -> str:
    """The prefix of a copy in which one byte is another (by default: flipped)."""
    for file in (INDEX, VALUES):
        content = bytearray((DATA / file).read_bytes())
        if file == name:
            content[position] = content[position] ^ 0xFF if byte is None else byte
        (folder / file).write_bytes(content)
    return f"{folder}/tiny"


def test_reads_what_tensorflow_wrote():
    variables = read_checkpoint(f"{DATA}/tiny")
    assert len(variables) == 23
    np.testing.assert_array_equal(variables["layer/kernel"], [[0, 0.25, 0.5], [0.75, 1, 1.25]])
    assert variables["layer/kernel"].dtype == np.float32
    np.testing.assert_array_equal(variables["layer/bias"], [-1.5, 2.5])
    assert variables["layer/bias"].dtype == np.float64
    assert variables["step"].shape == ()
    assert variables["step"].dtype == np.int64
    assert variables["step"] == 300
    # twenty names that share their beginnings: keys are stored without what they share
    for number in range(20):
        np.testing.assert_array_equal(variables[f"scale_{number:02d}"], [number])


@pytest.mark.parametrize(
    ("data", "checksum"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_crc32c_of_the_standards_examples(data, checksum):
    assert crc32c(data) == checksum  # RFC 3720, appendix B.4, and the usual check value
    assert masked_crc32c(data) != checksum


def test_altered_values_are_refused(tmp_path):
    with pytest.raises(TensorBundleError, match="damaged: the values do not fit"):
        read_checkpoint(copied(tmp_path, VALUES, 5))


@pytest.mark.parametrize("position", [0, 1, 40, 300])
def test_an_altered_index_is_refused(tmp_path, position):
    with pytest.raises(TensorBundleError, match="block at byte 0 does not fit its checksum"):
        read_checkpoint(copied(tmp_path, INDEX, position))


def test_what_is_no_table_or_cut_off_is_refused():
    whole = (DATA / INDEX).read_bytes()
    with pytest.raises(TensorBundleError, match="magic number"):
        read_index(whole[:-1])
    with pytest.raises(TensorBundleError, match="magic number"):
        read_index(b"")
    with pytest.raises(TensorBundleError, match="beyond the end of the index"):
        read_index(whole[-FOOTER_BYTES:])


def test_missing_and_shortened_files_are_refused(tmp_path):
    with pytest.raises(TensorBundleError, match="no such file"):
        read_checkpoint(f"{tmp_path}/absent")
    (tmp_path / INDEX).write_bytes((DATA / INDEX).read_bytes())
    (tmp_path / VALUES).write_bytes((DATA / VALUES).read_bytes()[:60])
    with pytest.raises(TensorBundleError, match="bytes, expected"):
        read_checkpoint(f"{tmp_path}/tiny")


def test_compressed_blocks_are_refused():
    table = bytearray((DATA / INDEX).read_bytes())
    # the index block is the last before the footer: its trailer starts with the compression
    table[-FOOTER_BYTES - 5] = 1
    with pytest.raises(TensorBundleError, match="compressed"):
        read_index(bytes(table))
