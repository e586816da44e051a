"""Configurations: frozen dataclasses to JSON and back, and dotted overrides. Torch-free.

A system's config is a tree of frozen, keyword-only dataclasses; presets are functions that return
one. This module turns such a tree into plain JSON beside the weights, reads it back strictly, and
applies `section.key=value` from the command line, with the types taken from the annotations.

Fields may be bool, int, float, str, a Literal, a nested dataclass, a tuple of these (fixed or
`tuple[T, ...]`), a `dict[str, T]`, or any of these `| None`.
"""

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ritornello.errors import ConfigError

SCHEMA = 1
"""Version of the JSON layout; a change of layout raises it and adds a migration."""

ConfigT = TypeVar("ConfigT")


def require(holds: bool, name: str, got: object, expected: str) -> None:
    """Refuse a setting: ConfigError that says what was got and what was expected."""
    if not holds:
        raise ConfigError(f"{name} is {got!r}; expected {expected}")


def to_json(config: Any) -> str:
    """The config as indented JSON text, with the schema version first; ends with a newline."""
    document = {"schema": SCHEMA, **to_dict(config)}
    try:
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise ConfigError(f"{type(config).__name__} holds NaN or infinity: {error}") from error


def from_json(cls: type[ConfigT], text: str) -> ConfigT:
    """The config of type `cls` that `to_json` wrote.

    Raises:
        ConfigError: No JSON object, another schema version, or what `from_dict` refuses.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error}; expected the text of a {cls.__name__}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"got a JSON {type(document).__name__}; expected an object")
    version = document.pop("schema", None)
    if version != SCHEMA:
        raise ConfigError(
            f"config schema is {version!r}; this version of ritornello reads {SCHEMA}. "
            "Update ritornello, or train or convert the model with this version."
        )
    return from_dict(cls, document)


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain dicts, lists and scalars."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_dict(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """A `cls` from plain values; fields that are absent keep their defaults.

    Raises:
        ConfigError: An unknown key (the nearest name is given), a missing field without default,
            a wrong type, or a value that the config itself refuses.
    """
    return _build(cls, values, where="")


def with_overrides(config: ConfigT, overrides: Iterable[str]) -> ConfigT:
    """A copy of `config` with each `section.key=value` applied, all of them before validation.

    Values are read by the field's type: `true`/`false`, numbers, `none` where the field may be
    None, tuples as `1,2,3` or as a JSON list. Sections that stand in a tuple are numbered from 1:
    `levels.1.batch=4`. The last of two overrides of a key wins.

    Raises:
        ConfigError: No `=`, an unknown key, a value of another type, or one the config refuses.
    """
    changes: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"got {override!r}; expected section.key=value")
        path = key.strip().split(".")
        _place(changes, path, _parse_leaf(config, path, text.strip()))
    return _replace(config, changes)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or the list of all."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "nothing is known here"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    """Resolved annotation of every field, in order."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _build(cls: type[ConfigT], values: Any, where: str) -> ConfigT:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or cls.__name__} is {values!r}; expected an object")
    known = _field_types(cls)
    for name in values:
        if name not in known:
            raise ConfigError(
                f"unknown setting {_join(where, name)!r} in {cls.__name__}; {nearest(name, known)}"
            )
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and field.name not in values:
            raise ConfigError(f"setting {_join(where, field.name)!r} of {cls.__name__} is missing")
    return cls(
        **{name: _convert(value, known[name], _join(where, name)) for name, value in values.items()}
    )


def _convert(value: Any, kind: Any, where: str) -> Any:
    """A plain JSON value as the annotated type `kind`, or ConfigError."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(value, _without_none(kind, where), where)
    if origin is typing.Literal:
        return _convert_literal(value, typing.get_args(kind), where)
    if origin is tuple:
        return _convert_tuple(value, typing.get_args(kind), where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(value, kind, where)
        item_kind = typing.get_args(kind)[1]
        return {key: _convert(item, item_kind, _join(where, key)) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    return _convert_scalar(value, kind, where)


def _convert_scalar(value: Any, kind: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind not in (bool, int, float, str):
        raise TypeError(f"{where}: configs cannot hold fields annotated {kind}")
    if type(value) is not kind:
        raise _wrong(value, kind, where)
    return value


def _convert_literal(value: Any, choices: Sequence[Any], where: str) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    raise ConfigError(f"{where} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def _convert_tuple(value: Any, kinds: Sequence[Any], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} is {value!r}; expected a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = [kinds[0]] * len(value)
    elif len(value) != len(kinds):
        raise ConfigError(f"{where} has {len(value)} values; expected {len(kinds)}")
    return tuple(
        _convert(item, kind, f"{where}[{index}]")
        for index, (item, kind) in enumerate(zip(value, kinds, strict=True))
    )


def _without_none(kind: Any, where: str) -> Any:
    """The T of `T | None`."""
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    if len(members) != 1:
        raise TypeError(f"{where}: configs cannot hold fields annotated {kind}; only T | None")
    return members[0]


def _wrong(value: Any, kind: Any, where: str) -> ConfigError:
    expected = kind.__name__ if isinstance(kind, type) else str(kind)
    return ConfigError(f"{where} is {value!r} ({type(value).__name__}); expected {expected}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _parse_leaf(config: Any, path: Sequence[str], text: str) -> Any:
    """The value that `text` means for the field at `path`."""
    owner = config
    for depth, name in enumerate(path):
        where = ".".join(path[: depth + 1])
        if isinstance(owner, tuple):
            value, kind = _numbered(owner, name, where), None
        else:
            known = _field_types(type(owner))
            if name not in known:
                raise ConfigError(f"unknown setting {where!r}; {nearest(name, known)}")
            value, kind = getattr(owner, name), known[name]
        is_section = dataclasses.is_dataclass(value)
        if depth == len(path) - 1:
            if is_section:
                fields = ", ".join(_field_types(type(value)))
                raise ConfigError(f"{where!r} is a section; give one of its settings: {fields}")
            return _parse(text, kind, where)
        if not is_section and not _holds_sections(value):
            raise ConfigError(f"{where!r} is a value, not a section; expected {where}=value")
        owner = value
    raise AssertionError("a path has at least one name")


def _holds_sections(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and dataclasses.is_dataclass(value[0])


def _numbered(sections: tuple[Any, ...], number: str, where: str) -> Any:
    """The section with that number, from 1."""
    if not number.isdecimal() or not 1 <= int(number) <= len(sections):
        told = f"unknown setting {where!r}; its sections are 1 to {len(sections)}"
        if number == "0":
            told += f", so what is elsewhere counted from 0 is {where[:-1]}1 here, the first"
        raise ConfigError(told)
    return sections[int(number) - 1]


def _parse(text: str, kind: Any, where: str) -> Any:
    """Command-line text as the annotated type `kind`."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "null"):
            return None
        return _parse(text, _without_none(kind, where), where)
    if kind is str:
        return text
    if origin is typing.Literal:
        by_text = {str(choice): choice for choice in typing.get_args(kind)}
        return _convert_literal(by_text.get(text, text), typing.get_args(kind), where)
    if origin is tuple and not text.startswith("["):
        return _parse_tuple(text, typing.get_args(kind), where)
    return _convert(_parse_json(text, kind, where), kind, where)


def _parse_tuple(text: str, kinds: Sequence[Any], where: str) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",")] if text else []
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = [kinds[0]] * len(parts)
    elif len(parts) != len(kinds):
        raise ConfigError(f"{where} has {len(parts)} values; expected {len(kinds)}")
    return tuple(
        _parse(part, kind, f"{where}[{index}]")
        for index, (part, kind) in enumerate(zip(parts, kinds, strict=True))
    )


def _parse_json(text: str, kind: Any, where: str) -> Any:
    """Text as a JSON value, forgiving what people type: True, 1e-4, 0.5, 1_000."""
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            return text
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"{where} is {text}; expected a finite number")
        return number
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _place(changes: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        changes = changes.setdefault(name, {})
    changes[path[-1]] = value


def _replace(config: ConfigT, changes: Mapping[str, Any]) -> ConfigT:
    """`dataclasses.replace` down the tree, each section built once with all its changes."""
    if not changes:
        return config
    values = {}
    for name, change in changes.items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            values[name] = _replace(value, change)
        elif _holds_sections(value) and isinstance(change, Mapping):
            sections = enumerate(value, start=1)
            values[name] = tuple(_replace(one, change.get(str(n), {})) for n, one in sections)
        else:
            values[name] = change
    return dataclasses.replace(config, **values)  # type: ignore[type-var]
