# SPDX-License-Identifier: Apache-2.0
"""Files that hold keys: read whole, and refused where others could have read or written them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NoReturn

from bifrost.errors import ConfigurationError

_MAX_BYTES: Final = 65_536


class KeyFile:
    """
    The content of a key file that a setting names.

    Args:
        setting: The setting's name, for messages.
        file: The path; `~` is the user's home.
        is_secret: Whether nobody else may read it.

    Raises:
        ConfigurationError: it can't be read, is no file, is too long, or others can write to it; or
            can read it, where it is secret.
    """

    def __init__(self, setting: str, file: str, *, is_secret: bool) -> None:
        self._setting = setting
        try:
            self._path = Path(file).expanduser()
        except RuntimeError as error:  # no such user's home
            raise ConfigurationError(f"{setting}: {file!r} can't be used: {error}") from None
        try:
            self.content = self._read(is_secret=is_secret)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"{setting}: {self._path} can't be read: {reason}") from None
        if len(self.content) > _MAX_BYTES:
            self.refuse("too long to be a key")

    def refuse(self, why: str) -> NoReturn:
        """
        Say what is wrong with what it holds.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(f"{self._setting}: {self._path}: {why}")

    def _read(self, *, is_secret: bool) -> bytes:
        # Not blocking: opening a pipe would wait for whoever writes to it.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                self.refuse("no regular file")
            if is_secret and mode & stat.S_IROTH:
                self.refuse("everybody can read the secret: chmod o-rwx")
            if mode & stat.S_IWOTH:
                self.refuse("everybody can write to it: chmod o-w")
            return file.read(_MAX_BYTES + 1)
