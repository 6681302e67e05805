"""A picture decoder that crashes its process at marked pictures, as a defect in a C library would."""

from __future__ import annotations

from pathlib import Path

CRASH_MARKER = b"crash of the decoder"


def mark_to_crash(picture: bytes) -> bytes:
    """Return a picture with bytes behind its end at which the crashing decoder ends its process."""
    return picture + CRASH_MARKER


def install_crashing_decoder(folder: Path) -> None:
    """Write a module that makes decoders crash at `CRASH_MARKER`.

    Python imports it at its start where `folder` is in PYTHONPATH.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import importlib, os, signal\n"
        "def crashing(decode):\n"
        "    def decode_or_crash(data, *args, **kwargs):\n"
        f"        if {CRASH_MARKER!r} in bytes(data):\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return decode(data, *args, **kwargs)\n"
        "    return decode_or_crash\n"
        "for module, function in (('cv2', 'imdecode'), ('simplejpeg', 'decode_jpeg')):\n"
        "    try:\n"
        "        decoder = importlib.import_module(module)\n"
        "    except ImportError:\n"
        "        continue\n"
        "    setattr(decoder, function, crashing(getattr(decoder, function)))\n"
    )
