"""YAML files read into pydantic models; a mistake is told with its file, line, key and value.

What our files share: keys are text, no key stands twice, an unknown key is refused and the nearest known one
is named.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ann_bench.errors import ConfigError

Location = tuple[str | int, ...]
_SHOWN_MISTAKES = 5


class CheckedModel(BaseModel):
    """A frozen model that refuses unknown keys and names the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    raise mistake(f"unknown key{near(key, cls.model_fields)}", at=(key,))
        return values


def mistake(text: str, at: Location = ()) -> PydanticCustomError:
    """Return an error for a validator to raise: `text` about what stands `at` that place below the model."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "at": at})


def near(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` with the nearest of the `known` words, else the list of all of them."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), names, n=1)
    if close:
        return f'; did you mean "{names[close[0]]}"?'
    return f"; known: {', '.join(names.values())}" if names else ""


Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Tells where the values stand that look like a date, say, and are none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):
            kind = str(node.tag).rpartition(":")[2]
            problem = f"{_value(node.value)} is read as {kind}, and is none; put it in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


@dataclass(frozen=True)
class Document:
    """A YAML file's content, and the line of each key and list item in it."""

    path: Path
    content: dict[str, Any]
    lines: dict[Location, int]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the mapping in `path`; `ConfigError` if it is none, or not YAML, or has a key twice."""
        shown = _shown(path)
        try:
            loader = _Loader(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{shown}: there is no such file") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{shown}: cannot be read: {error}") from None
        try:
            node = loader.get_single_node()
            lines: dict[Location, int] = {}
            if node is not None:
                _walk(node, (), lines, shown)
            content = loader.construct_document(node) if node is not None else {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{shown}:{line}: not YAML: {error.problem}") from None
        except RecursionError:
            raise ConfigError(f"{shown}: cannot be read: it is nested too deeply") from None
        finally:
            loader.dispose()
        if not isinstance(content, dict):
            raise ConfigError(
                f"{shown}:1: got {_value(content)}; the file is a mapping (lines of `key: value`)"
            )
        return cls(path, content, lines)

    def error(self, text: str, at: Location = ()) -> ConfigError:
        """Return an error that says `text` of the key `at` that place, with file and line."""
        return ConfigError(self._message(text, at))

    def validated(self, model: type[Model], at: Location = ()) -> Model:
        """Return the part of the content `at` that place as a `model`; `ConfigError` lists its mistakes."""
        value: Any = self.content
        for key in at:
            value = value[key]
        try:
            return model.model_validate(value)
        except ValidationError as error:
            mistakes: dict[
                Location, str
            ] = {}  # the first of each place: the rest are a union's other members
            for detail in error.errors(include_url=False):
                place = self._place((*at, *detail["loc"]), missing=detail["type"] == "missing")
                mistakes.setdefault(place, self._describe(detail, place))
            messages = list(mistakes.values())
            if len(messages) > _SHOWN_MISTAKES:
                messages[_SHOWN_MISTAKES:] = [f"... and {len(messages) - _SHOWN_MISTAKES} more"]
            raise ConfigError("\n".join(messages)) from None

    def _place(self, at: Location, *, missing: bool) -> Location:
        """Return what of pydantic's location is in the document; its last part is kept if it is `missing`."""
        value: Any = self.content
        place: Location = ()
        for part in at[:-1] if missing else at:
            known = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
            if part in known:  # others name a union's member, or a validator
                value = value[part]
                place = (*place, part)
        return (*place, at[-1]) if missing else place

    def _describe(self, detail: ErrorDetails, place: Location) -> str:
        if detail["type"] == "mistake":
            return self._message(detail["ctx"]["text"], (*place, *detail["ctx"]["at"]))
        if detail["type"] == "missing":
            return self._message("the key is missing", place)
        allowed = detail["msg"].replace("Input should be", "it should be")
        return self._message(f"got {_value(detail['input'])}; {allowed[:1].lower()}{allowed[1:]}", place)

    def _message(self, text: str, at: Location) -> str:
        place = f": {'.'.join(str(part) for part in at)}" if at else ""
        while at and at not in self.lines:
            at = at[:-1]
        return f"{_shown(self.path)}:{self.lines.get(at, 1)}{place}: {text}"


def _walk(
    node: yaml.Node, at: Location, lines: dict[Location, int], shown: Path, above: tuple[int, ...] = ()
) -> None:
    """Note the line of every key and item below `node`.

    Refused are keys that are no text or stand twice, and a node that is in itself (its id stands `above`).
    """
    if id(node) in above:
        raise ConfigError(f"{shown}:{node.start_mark.line + 1}: an anchor (&) is repeated (*) within itself")
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[(*at, i)] = item.start_mark.line + 1
            _walk(item, (*at, i), lines, shown, above)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                raise ConfigError(f"{shown}:{line}: key {key.value!r} is not read as text; put it in quotes")
            place = (*at, key.value)
            if place in lines:
                dotted = ".".join(str(part) for part in place)
                raise ConfigError(f"{shown}:{line}: {dotted}: stands twice (first in line {lines[place]})")
            lines[place] = line
            _walk(value, place, lines, shown, above)


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _value(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
