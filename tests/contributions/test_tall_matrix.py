"""Rows in blocks, in parts and on disk are the plain matrix."""

from __future__ import annotations

import numpy as np
import pytest

from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.storage.cache import Stage


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(0).lognormal(size=(23, 11)).astype(np.float16)


@pytest.fixture(params=[(64, 2**13), (2, 4), (1, 1)], ids=["one tile", "two rows by four columns", "single numbers"])
def rows(request, matrix, monkeypatch) -> TallMatrix:
    monkeypatch.setattr("hn_utils.contributions.tall_matrix.HEIGHT", request.param[0])
    monkeypatch.setattr("hn_utils.contributions.tall_matrix.WIDTH", request.param[1])
    return TallMatrix([matrix[:4], matrix[4:5], matrix[5:]])


def test_is_the_matrix(rows, matrix):
    full, chosen = matrix.astype(np.float32), np.array([9, 0, 3])
    assert rows.shape == full.shape
    assert np.array_equal(rows.columns(chosen), full[:, chosen])
    seen = np.full(full.shape, np.nan, np.float32)
    for numbers, columns, tile in rows.tiles():
        assert np.isnan(seen[numbers, columns]).all()  # nothing comes twice
        seen[numbers, columns] = tile
    assert np.array_equal(seen, full)
    vectors = np.random.default_rng(1).normal(size=(23, 2))
    np.testing.assert_allclose(rows.times_transposed(vectors), vectors.T @ full, rtol=1e-4)
    np.testing.assert_allclose(rows.mean(), full.mean(0), rtol=1e-5)
    np.testing.assert_allclose(rows.std(), full.std(0), rtol=1e-4)


def test_some_rows_and_rows_above_rows(rows, matrix):
    picked = np.array([22, 0, 4, 4])
    both = rows[picked].above(rows[np.arange(23) < 2])
    expected = np.concatenate([matrix[picked], matrix[:2]]).astype(np.float32)
    assert np.array_equal(both.columns(np.arange(11)), expected)
    np.testing.assert_allclose(both.mean(), expected.mean(0), rtol=1e-5)


def test_the_digest_is_of_the_content_alone(rows, matrix):
    assert rows.digest == TallMatrix([matrix]).digest == TallMatrix([matrix[::-1]])[np.arange(23)[::-1]].digest
    assert rows.digest != rows[np.arange(22)].digest


def test_rows_on_disk_are_mapped_not_read(tmp_path, monkeypatch, matrix):
    monkeypatch.setenv("HN_CACHE", str(tmp_path))
    stage = Stage("s", {})
    kept = stage.save(["0"], {"values": matrix})
    assert not kept["values"].flags.owndata  # the pages of the file itself
    assert np.array_equal(TallMatrix([kept["values"]]).columns(np.arange(11)), matrix.astype(np.float32))


def test_different_widths():
    with pytest.raises(ValueError, match=r"different widths: \[2, 3\]"):
        TallMatrix([np.ones((1, 2)), np.ones((1, 3))])
