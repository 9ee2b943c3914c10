"""`Settings`: the base of the frozen records that configure a worker.

It is written without `dataclasses` and `typing`, which cost more to import than everything else that a pushing program needs
of regiment.
"""

from __future__ import annotations

from regiment import bounds
from regiment.errors import ConfigError, nearest
from regiment.masking import masked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, dataclass_transform

    Rule = Callable[[Any], str | None]
    """Answers in words what was expected of a value, or None for a good one."""
else:

    def dataclass_transform(**_):
        return lambda cls: cls


def rule(good: Callable[[Any], bool], expected: str) -> Rule:
    """A rule whose values are `good`, or else not what was `expected`."""
    return lambda value: None if good(value) else expected


class _Ruled:
    def __init__(self, rule: Rule, default: Any) -> None:
        self.rule, self.default = rule, default


def field(rule: Rule, *, default: Any = ...) -> Any:
    """A field, the rule that its values keep, and its default; without one it must be given."""
    return _Ruled(rule, default)


def seen(value: object) -> str:
    """A setting's value as an error shows it: a URL without its secrets, what may hold one by its type alone."""
    return f"a {type(value).__name__}" if isinstance(value, (dict, list, bytes)) else masked(bounds.seen(value))


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Settings:
    """Base of the frozen records: keyword (or positional) fields with defaults and rules, equality, `replace`."""

    __slots__ = ()
    _defaults: dict[str, Any] = {}
    _rules: dict[str, Rule] = {}
    _prefix = "Settings."
    """What stands before the name of a field in a problem."""

    def __init_subclass__(cls) -> None:
        fields = {name: getattr(cls, name, ...) for name in cls.__dict__.get("__annotations__", {})}
        ruled = {name: found for name, found in fields.items() if isinstance(found, _Ruled)}
        cls._defaults = fields | {name: found.default for name, found in ruled.items()}
        cls._rules = {name: found.rule for name, found in ruled.items()}
        cls._prefix = cls.__dict__.get("_prefix", f"{cls.__name__.lower()}.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields, name = self._defaults, type(self).__name__
        if len(args) > len(fields):
            raise ConfigError(f"{name} takes at most {len(fields)} values, got {len(args)}")
        for field, value in zip(fields, args, strict=False):
            if field in kwargs:
                raise ConfigError(f"{name} got two values for {field!r}")
            kwargs[field] = value
        for field in kwargs:
            if field not in fields:
                raise ConfigError(
                    f'{name} has no field "{field}".{nearest(field, fields) or " It has: " + ", ".join(fields)}'
                )
        for field, default in fields.items():
            if field not in kwargs and default is ...:
                raise ConfigError(f'{name} needs the field "{field}"')
            object.__setattr__(self, field, kwargs.get(field, default))
        self._made()

    def _made(self) -> None:
        """Called when all fields are set."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; use .replace({name}=…)")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.values().items())})"

    def values(self) -> dict[str, Any]:
        """Field -> value, in order."""
        return {field: getattr(self, field) for field in self._defaults}

    def replace(self, **changes: Any) -> Any:
        """A copy with some fields changed; `ConfigError` for a field that does not exist."""
        return type(self)(**{**self.values(), **changes})

    def check(self) -> list[str]:
        """All problems of these values, one sentence each: of the fields by their rules, and of the records in them."""
        found = []
        for name, rule in self._rules.items():
            value = getattr(self, name)
            expected = rule(value)
            if expected is not None:
                found.append(f"{self._prefix}{name} is {seen(value)}; expected {expected}")
            elif isinstance(value, Settings):
                found += value.check()
        return found
