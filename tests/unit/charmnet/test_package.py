"""The names that the package itself offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import charmnet


def test_package_exports_the_network_and_the_version() -> None:
    assert charmnet.__all__ == ["CharmNet", "__version__"]
    for name in charmnet.__all__:
        assert getattr(charmnet, name)
        assert name in dir(charmnet)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Harmnet'"):
        _ = charmnet.Harmnet


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, charmnet; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
