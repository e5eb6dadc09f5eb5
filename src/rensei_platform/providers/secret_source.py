"""A provider's own credential: in platform.toml, or in a file that platform.toml names."""

from pathlib import Path

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import ProviderUnavailableError
from rensei_platform.regular_file import open_regular

MOST_BYTES = 16 * 1024


class SecretSource:
    """A text, or the file it is read from each time, so that it can be replaced."""

    def __init__(self, option: str, text: str | None, path: Path | None) -> None:
        """Take exactly one of the two. Raise SettingsError otherwise."""
        if (text is None) == (path is None):
            raise SettingsError(f"{option}: set either `{option}` or `{option}_file`")
        self._option, self._text, self._path = option, text, path

    def __repr__(self) -> str:
        return f"SecretSource({self._option!r})"

    def read(self) -> str:
        """Return the credential. Raise ProviderUnavailableError if its file is no use."""
        if self._path is None:
            return self._text or ""
        try:
            with open_regular(self._path) as file:
                text = file.read(MOST_BYTES).decode("ascii").strip()
        except OSError as error:
            raise ProviderUnavailableError(
                f"cannot read `{self._option}_file`",
                detail=f"{self._path}: {error.strerror}",
            ) from error
        except UnicodeDecodeError:
            raise ProviderUnavailableError(f"`{self._option}_file` is not ASCII") from None
        if not text or not text.isprintable():
            raise ProviderUnavailableError(f"`{self._option}_file` holds no credential")
        return text
