"""Reads a TensorFlow checkpoint (a "tensor bundle") without TensorFlow.

A bundle is two kinds of file. `PREFIX.index` is a LevelDB table: sorted keys (the variables' names)
with values that say where each variable's bytes are. `PREFIX.data-00000-of-00001` is those bytes.

    table    data blocks, metaindex block, index block, footer (48 bytes)
    footer   handle of the metaindex block, handle of the index block, padding, magic number
    handle   offset and size of a block, two varints
    block    entries, restart points, then outside its size: 1 byte compression, 4 bytes checksum
    entry    bytes shared with the previous key, bytes that are new, bytes of value; new key; value
    value    protocol buffer BundleEntryProto: dtype 1, shape 2, shard 3, offset 4, size 5, crc 6

Formats: LevelDB's doc/table_format.md; TensorFlow's core/protobuf/tensor_bundle.proto. What is read
here: one shard, uncompressed blocks, little-endian numbers, whole (unsliced) variables. Anything
else is refused, and so is every block and variable whose checksum (CRC-32C) does not fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES, TRAILER_BYTES = 48, 5
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""TensorFlow's DataType numbers -> numpy's names."""


class TensorBundleError(Exception):
    """A file that is no checkpoint, is damaged, or uses what is not read here."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Where one variable's values are: `size` bytes from `offset` of the data file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


def read_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name.

    Args:
        prefix: What comes before `.index`; a folder and a slash when the files have no other name.

    Raises:
        TensorBundleError: Missing, damaged or not supported.
    """
    data = _read(Path(f"{prefix}.data-00000-of-00001"))
    variables = read_index(_read(Path(f"{prefix}.index")))
    return {name: _values(name, variable, data) for name, variable in variables.items()}


def read_index(table: bytes) -> dict[str, Variable]:
    """The variables that an index file lists, by name."""
    if len(table) < FOOTER_BYTES or int.from_bytes(table[-8:], "little") != TABLE_MAGIC:
        raise TensorBundleError("the index ends without a LevelDB table's magic number")
    footer = table[-FOOTER_BYTES:]
    _, position = _handle(footer, 0)  # the metaindex, which bundles leave empty
    index_block, _ = _handle(footer, position)
    variables: dict[str, Variable] = {}
    for _, where in _entries(_block(table, *index_block)):
        for key, value in _entries(_block(table, *_handle(where, 0)[0])):
            if key:  # the empty key holds the bundle's header
                variables[key.decode()] = _variable(key.decode(), value)
            else:
                _check_header(value)
    return variables


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise TensorBundleError(f"{path}: no such file")
    return path.read_bytes()


def _values(name: str, variable: Variable, data: bytes) -> np.ndarray:
    """The variable's array, once its bytes are known to be whole."""
    raw = data[variable.offset : variable.offset + variable.size]
    expected = int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize
    if len(raw) != expected:
        raise TensorBundleError(
            f"{name}: got {len(raw)} bytes, expected {expected} for shape {variable.shape}"
        )
    if masked_crc32c(raw) != variable.checksum:
        raise TensorBundleError(f"{name}: damaged: the values do not fit their checksum")
    return np.frombuffer(raw, variable.dtype).reshape(variable.shape)


# ---- the table -------------------------------------------------------------------------------


def _block(table: bytes, offset: int, size: int) -> bytes:
    """The content of a block, checked against its trailer."""
    stored = table[offset : offset + size + TRAILER_BYTES]
    if len(stored) != size + TRAILER_BYTES:
        raise TensorBundleError(f"a block at byte {offset} reaches beyond the end of the index")
    if stored[size] != 0:
        raise TensorBundleError(f"a block at byte {offset} is compressed, which is not read here")
    if masked_crc32c(stored[: size + 1]) != int.from_bytes(stored[size + 1 :], "little"):
        raise TensorBundleError(f"a block at byte {offset} does not fit its checksum")
    return stored[:size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block in order."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        size, position = _varint(block, position)
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + size]
        position += size


def _handle(buffer: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the position after them."""
    offset, position = _varint(buffer, position)
    size, position = _varint(buffer, position)
    return (offset, size), position


def _varint(buffer: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the position after it."""
    value = shift = 0
    while True:
        if position >= len(buffer):
            raise TensorBundleError("a number of the index is cut off; the file is damaged")
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


# ---- the values ------------------------------------------------------------------------------


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(message, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise TensorBundleError(f"field {number} has wire type {wire}; expected 0, 1, 2 or 5")
        yield number, message[position : position + size]
        position += size


def _number(fields: dict[int, int | bytes], number: int) -> int:
    """A field as a number; fields that are 0 are left out of the file."""
    value = fields.get(number, 0)
    return value if isinstance(value, int) else int.from_bytes(value, "little")


def _check_header(message: bytes) -> None:
    """Refuse bundles of several shards or of big-endian numbers (BundleHeaderProto)."""
    fields = dict(_fields(message))
    if _number(fields, 1) != 1 or _number(fields, 2) != 0:
        raise TensorBundleError(
            f"the bundle has {_number(fields, 1)} shards and byte order {_number(fields, 2)}; "
            "expected 1 shard and byte order 0 (little-endian)"
        )


def _variable(name: str, message: bytes) -> Variable:
    """A BundleEntryProto."""
    fields = dict(_fields(message))
    dtype = _number(fields, 1)
    if dtype not in DTYPES or 7 in fields:
        raise TensorBundleError(
            f"{name} has type {dtype}{' in slices' if 7 in fields else ''}; expected a whole "
            f"variable of one of the types {sorted(DTYPES)}"
        )
    shape = fields.get(2, b"")
    sizes = [dict(_fields(dim)) for _, dim in _fields(shape if isinstance(shape, bytes) else b"")]
    return Variable(
        dtype=DTYPES[dtype],
        shape=tuple(_number(size, 1) for size in sizes),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        checksum=_number(fields, 6),
    )


# ---- CRC-32C ---------------------------------------------------------------------------------


def _crc_table() -> tuple[int, ...]:
    """The remainder of every byte by Castagnoli's polynomial, bits reversed."""
    table = []
    for remainder in range(256):
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return tuple(table)


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """The cyclic redundancy check that LevelDB and TensorFlow use (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The checksum as it is stored: turned by 15 bits and shifted by a constant.

    So that checksums of data which contains checksums stay useful (LevelDB, util/crc32c.h).
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
