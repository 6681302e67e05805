"""JPEGs by simplejpeg, which gives the pixels of OpenCV in half of its time (both are libjpeg-turbo).

Where simplejpeg is not installed or complains of a file, the functions return None and OpenCV decides.
"""

from __future__ import annotations

from charmnet.arrays import UInt8Array

try:
    import simplejpeg
except ImportError:  # a platform that it is not built for
    simplejpeg = None

_START = b"\xff\xd8\xff"


def is_jpeg(data: bytes) -> bool:
    """Return whether the bytes begin like a JPEG."""
    return data[:3] == _START


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) from the header, or None where another library has to look.

    Pillow takes a tenth of a millisecond for the same.
    """
    if simplejpeg is None or not is_jpeg(data):
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return height, width


def decode_jpeg(data: bytes, height: int, width: int) -> UInt8Array | None:
    """Decode a JPEG at a size that libjpeg-turbo can scale to.

    Args:
        data: the encoded picture.
        height: pixels of the result.
        width: pixels of the result.

    Returns:
        [H,W,3] RGB, or None where OpenCV has to decide.
    """
    if simplejpeg is None or not is_jpeg(data):
        return None
    try:
        image = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
    except ValueError:
        return None
    return image if image.shape[:2] == (height, width) else None
