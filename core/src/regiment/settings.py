"""TODO"""

from __future__ import annotations

from regiment import bounds
from regiment.errors import ConfigError, nearest


@dataclass_transform(frozen_default=True)
class Settings:
    """Base of the frozen records: keyword (or positional) fields with defaults, equality, `replace`."""

    __slots__ = ()
    _defaults: dict[str, Any] = {}

    def __init_subclass__(cls) -> None:
        cls._defaults = {name: getattr(cls, name, ...) for name in cls.__dict__.get("__annotations__", {})}

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
                raise ConfigError(f'{name} has no field "{field}".{nearest(field, fields)} It has: {", ".join(fields)}')
        for field, default in fields.items():
            if field not in kwargs and default is ...:
                raise ConfigError(f'{name} needs the field "{field}"')
            object.__setattr__(self, field, kwargs.get(field, default))

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
        """All problems of these values, one sentence each."""
        return []
