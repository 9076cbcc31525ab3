"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, in its folder, which is made; when all went well, it takes the place of `path`.

    Whatever goes wrong, a power cut too, leaves what was at `path` before.

    Raises:
        OSError: the file cannot be written; the text is a sentence that names it.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield new
        with new.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(new, path)
    except OSError as error:
        _remove(new)
        raise unwritable(path, error) from error
    except BaseException:
        _remove(new)
        raise


def unwritable(path: Path, error: OSError) -> OSError:
    """The error told as a sentence that names the file or folder."""
    return OSError(f"{path} cannot be written: {error.strerror or error}. Make room for it, or choose another folder.")


def _remove(path: Path) -> None:
    with suppress(OSError):  # what went wrong with the file is told already
        path.unlink()
