"""The options of a provider's instance in platform.toml, and errors about them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from rensei_platform.errors import SettingsError


class Options(BaseModel):
    """Keys of one `[providers.NAME]` table. An error never repeats what was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Limits(Options):
    """What bounds every call of a provider."""

    timeout_seconds: float = Field(default=10, gt=0, le=300)
    most_bytes: int = Field(default=1024 * 1024, ge=1024, le=16 * 1024 * 1024)


class ServerOptions(Options):
    """What a secret store that is reached over HTTP needs."""

    address: str
    ca_file: Path | None = None
    allow_http: bool = False


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("the path is not absolute")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]

_Model = TypeVar("_Model", bound=BaseModel)


def parse_options(model: type[_Model], options: Mapping[str, object]) -> _Model:
    """Return the options as the model has them. Raise SettingsError naming each bad key."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise SettingsError("; ".join(map(_sentence, _problems(error)))) from None


def _problems(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _sentence(problem: Mapping[str, Any]) -> str:
    key = ".".join(map(str, problem["loc"]))
    return f"{key}: {problem['msg']}" if key else str(problem["msg"])


def reveal(secret: SecretStr | None) -> str | None:
    """Return the text of a secret option. None if it is not set."""
    return None if secret is None else secret.get_secret_value()
