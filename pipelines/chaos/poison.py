"""A decoder with a defect: it ends its process at certain bytes, as a defect in a C library would."""

from __future__ import annotations

from pathlib import Path

POISON = b"poison for the decoder"


def poisoned(picture: bytes) -> bytes:
    """The same picture, with bytes behind its end at which `deadly_decoder` ends its process."""
    return picture + POISON


def deadly_decoder(folder: Path) -> None:
    """A module that Python imports at its start where `folder` is in its path: decoders die of `POISON`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import importlib, os, signal\n"
        "def deadly(decode):\n"
        "    def decode_or_die(data, *args, **kwargs):\n"
        f"        if {POISON!r} in bytes(data):\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return decode(data, *args, **kwargs)\n"
        "    return decode_or_die\n"
        "for module, function in (('cv2', 'imdecode'), ('simplejpeg', 'decode_jpeg')):\n"
        "    try:\n"
        "        decoder = importlib.import_module(module)\n"
        "    except ImportError:\n"
        "        continue\n"
        "    setattr(decoder, function, deadly(getattr(decoder, function)))\n"
    )
