"""Durable small files that are replaced at one instant."""

from __future__ import annotations

import os

import pytest

from frskit.storage.atomic_files import replace_file


def test_a_failed_replacement_leaves_the_old_content(tmp_path, monkeypatch):
    """Whichever call fails, the file has its old content until the rename."""
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail(*_args):
        raise OSError("no")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no"):
                replace_file(path, b"new")
        assert path.read_bytes() == b"old"
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_the_content_is_durable_before_the_name(tmp_path, monkeypatch):
    """The file is synced before the rename, the directory after it."""
    calls = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), real_sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), real_replace(a, b)))
    replace_file(tmp_path / "file", b"x")
    assert calls == ["fsync", "replace", "fsync"]
