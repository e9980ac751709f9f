"""Activations as users have them."""

import copy
import logging
import pathlib
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import unmix

SMALL = {"n_components": 4, "max_iter": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def X():
    """Numbers that all types of numbers hold exactly: small whole numbers."""
    return np.random.default_rng(0).integers(-20, 20, size=(300, 40)).astype(np.float32)


def bits(fit):
    return fit.components.tobytes() + fit.coefficients.tobytes()


@pytest.fixture(scope="module")
def expected(X):
    return bits(unmix.fit(X, **SMALL))


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", ">i2", "O"])
def test_every_type_that_float32_holds_gives_the_same_bits(X, expected, dtype):
    assert bits(unmix.fit(X.astype(dtype), **SMALL)) == expected


def test_half_precision_stays_half_precision(X):
    half = unmix.Activations(X.astype(np.float16))
    assert half.dtype == "float16"
    fit = unmix.fit(half, **SMALL)
    assert fit.run["input"]["element"] == "f16"
    assert bits(unmix.fit(X.astype(">f2").astype(np.float16), **SMALL)) == bits(fit)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "every other row", "part of the columns", "read-only"])
def test_every_layout_gives_the_same_bits(X, expected, layout):
    if layout == "fortran":
        laid_out = np.asfortranarray(X)
    elif layout == "reversed":
        laid_out = X[::-1].copy()[::-1]
    elif layout == "every other row":
        laid_out = np.repeat(X, 2, axis=0)[::2]
    elif layout == "part of the columns":
        laid_out = np.hstack([X, X])[:, : X.shape[1]]
    else:
        laid_out = X.copy()
        laid_out.flags.writeable = False
    assert bits(unmix.fit(laid_out, **SMALL)) == expected


@pytest.mark.parametrize("offset", [0, 16, 32])
def test_where_rows_begin_in_memory_changes_nothing(offset):
    """Rows of a multiple of 64 bytes are copied if they begin between cache lines, and others are not."""
    X = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
    memory = np.empty(X.nbytes + 128, dtype=np.uint8)
    start = -memory.ctypes.data % 64 + offset
    placed = memory[start : start + X.nbytes].view(np.float32).reshape(X.shape)
    placed[:] = X
    assert bits(unmix.fit(placed, **SMALL)) == bits(unmix.fit(X, **SMALL))

    def change(progress):
        if progress["stage"] == "iterate":
            placed[7, 7] += 1

    with pytest.raises(OSError, match="changed while the fit read them"):
        unmix.fit(placed, progress=change, **SMALL)


def test_a_mapped_file_gives_the_same_bits(X, expected, tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert bits(unmix.fit(np.load(tmp_path / "x.npy", mmap_mode="r"), **SMALL)) == expected


def test_paths_give_the_same_bits(X, expected, tmp_path):
    np.save(tmp_path / "x.npy", X)
    shards = tmp_path / "shards"
    shards.mkdir()
    np.save(shards / "x-2.npy", X[:100])
    np.save(shards / "x-10.npy", X[100:])
    for paths in (tmp_path / "x.npy", str(tmp_path / "x.npy"), shards, [shards / "x-2.npy", shards / "x-10.npy"]):
        assert bits(unmix.fit(paths, **SMALL)) == expected


def test_streamed_activations_give_the_same_bits(X, expected):
    assert bits(unmix.fit(X, stream=True, **SMALL)) == expected


def test_a_device_may_be_written_in_capitals(X, expected):
    assert bits(unmix.fit(X, **{**SMALL, "device": "CPU"})) == expected


def test_a_data_frame_and_nested_lists_are_activations(X, expected):
    assert bits(unmix.fit(pd.DataFrame(X), **SMALL)) == expected
    assert bits(unmix.fit(X.tolist(), **SMALL)) == expected


def test_dlpack_is_enough(X, expected):
    class Tensor:
        def __dlpack__(self, **options):
            return X.__dlpack__(**options)

        def __dlpack_device__(self):
            return X.__dlpack_device__()

    assert bits(unmix.fit(Tensor(), **SMALL)) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_what_is_not_finite_is_refused_with_its_place(X, value, dtype):
    broken = X.astype(dtype)
    broken[17, 5] = value
    with pytest.raises(ValueError, match="token 17, neuron 5 is (NaN|inf|-inf)"):
        unmix.fit(broken, **SMALL)


def test_numbers_beyond_float32_are_refused_with_their_place(X):
    large = X.astype(np.float64)
    large[250, 3] = 1e39
    with pytest.raises(ValueError, match="1e.39 in row 250, column 3 is too large for float32"):
        unmix.fit(large, **SMALL)


def test_rows_of_numbers_below_float32_are_refused_with_their_place(X):
    small = X.astype(np.float64)
    small[3, 0] = 1e-300
    assert bits(unmix.fit(small, **SMALL)) == bits(unmix.fit(small.astype(np.float32), **SMALL))
    small[250] = 0
    small[250, 3] = -1e-100
    with pytest.raises(ValueError, match="row 250 is -1e-100, in column 3, which is too small for float32"):
        unmix.fit(small, **SMALL)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (scipy.sparse.csr_matrix(np.eye(5)), TypeError, "Sparse data was passed, but dense data is required"),
        (np.ones(5), ValueError, "Expected 2D array, got 1D"),
        (np.ones((2, 3, 4)), ValueError, r"Expected 2D array, got 3D.*array\.reshape\(-1, array\.shape\[-1\]\)"),
        (np.ones((0, 3)), ValueError, "0 sample"),
        (np.ones((3, 0)), ValueError, "0 feature"),
        (np.ones((3, 3), dtype=complex), ValueError, "Complex data not supported"),
        (np.array([["a", "b"]]), ValueError, "strings"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), TypeError, "numbers are needed"),
        ("missing.npy", OSError, "missing.npy"),
        ([], ValueError, r"X is \[\]; activations are an array"),
        (None, ValueError, "X is None; activations are an array"),
        ({12: np.ones((5, 3)), 20: np.ones((5, 3))}, TypeError, r"X has several parts \(12, 20\); .* X\[12\]"),
        (["a.npy", [1.0, 2.0]], TypeError, "the list has paths and other things"),
        ([[1.0], [1.0, 2.0]], ValueError, "X: .* rows of the same length"),
    ],
)
def test_what_is_no_matrix_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        unmix.fit(X, n_components=1, device="cpu")


def test_contiguous_arrays_are_not_copied(X):
    for array in (X, X.astype(np.float16)):
        activations = unmix.Activations(array)
        assert activations[3].tolist() == array[3].tolist()
        array[3] = 7
        assert (activations[3] == 7).all()


def test_an_array_lives_as_long_as_its_activations():
    activations = unmix.Activations(np.full((50, 20), 3, dtype=np.float32))
    for _ in range(20):
        np.zeros((50, 20), dtype=np.float32)
    assert (activations[:] == 3).all()


def test_activations_have_columns_and_rows(X):
    strings = [f"token {i}" for i in range(300)]
    acts = unmix.Activations(X, token_ids=range(300), prompt_ids=np.repeat(np.arange(30), 10), token_strings=strings)
    assert len(acts) == 300 and acts[-1].tolist() == X[-1].tolist() and acts[5:8].tolist() == X[5:8].tolist()
    fit = unmix.fit(acts, **SMALL)
    assert fit.columns["token_ids"].tolist() == list(range(300)) and fit.token_strings == strings
    assert fit.run["input"]["path"] is None and fit.run["input"]["tokens"] == 300


def test_activations_become_an_array(X):
    assert (np.asarray(unmix.Activations(X)) == X).all()


def test_an_index_that_activations_do_not_take_is_refused_with_what_they_take(X):
    acts = unmix.Activations(X)
    for index in ([1, 2], ..., (1, 2), 1.0, np.ones(300, bool)):
        with pytest.raises(TypeError, match="a number or a slice is needed; np.asarray"):
            acts[index]
    with pytest.raises(IndexError, match="there is no row 300: the activations have rows 0 to 299"):
        acts[300]
    with pytest.raises(IndexError, match="only a step of 1"):
        acts[::2]
    assert sum(1 for _ in acts) == 300 and (acts[np.int64(-300)] == X[0]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of the process is read from /proc")
def test_an_array_that_is_in_memory_already_does_not_count_as_memory_of_the_fit(caplog):
    X = np.random.default_rng(0).normal(size=(40_000, 1000)).astype(np.float32)
    status = pathlib.Path("/proc/self/status").read_text()
    held = 1024 * int(status.split("VmRSS:")[1].split()[0])
    with caplog.at_level(logging.INFO, logger="unmix"):
        unmix.fit(X, memory=held + X.nbytes // 2, **SMALL)
    assert "40000 tokens × 1000 neurons, f32, resident" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="unmix"):
        unmix.fit(X, stream=True, **SMALL)
    assert "streamed" in caplog.text


def test_a_column_of_another_length_is_refused(X):
    with pytest.raises(ValueError, match="token_ids has 3 entries, but the activations have 300 rows"):
        unmix.Activations(X, token_ids=[1, 2, 3])
    with pytest.raises(ValueError, match="token_strings: 1 strings for 300 rows"):
        unmix.Activations(X, token_strings=["a"])


def test_tokens_of_files_can_be_left_out(activations):
    everything = unmix.Activations(activations)
    shorter = unmix.Activations(activations, skip_first=1, max_norm="10x")
    assert len(shorter) < len(everything) and "rows" in shorter.columns
    with pytest.raises(ValueError, match="skip_first: only of files"):
        unmix.Activations(np.ones((4, 4)), skip_first=1)
    with pytest.raises(ValueError, match="max_norm=many"):
        unmix.Activations(activations, max_norm="many")


def test_an_array_that_changes_during_the_fit_is_told(X):
    changing = X.copy()

    def change(progress):
        if progress["stage"] == "iterate":
            changing[7, 7] += 1

    with pytest.raises(OSError, match="changed while the fit read them"):
        unmix.fit(changing, progress=change, **SMALL)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda acts: pickle.loads(pickle.dumps(acts))])
@pytest.mark.parametrize("dtype", ["float32", "float16", pytest.param("bfloat16", marks=pytest.mark.models), "file"])
def test_activations_survive_a_copy_and_a_pickle(X, activations, copied, dtype):
    if dtype == "file":
        acts = unmix.Activations(activations, skip_first=1)
    else:
        numbers = X if dtype == "bfloat16" else X.astype(dtype)
        if dtype == "bfloat16":
            import torch

            numbers = torch.from_numpy(X).to(torch.bfloat16)
        strings = [f"é{row}" for row in range(300)]
        acts = unmix.Activations(numbers, prompt_ids=np.arange(300) // 10, token_strings=strings)
    again = copied(acts)
    assert (again.shape, again.dtype, again.token_strings) == (acts.shape, acts.dtype, acts.token_strings)
    assert again.fingerprint() == acts.fingerprint()
    assert again.columns.keys() == acts.columns.keys()
    for name, column in acts.columns.items():
        np.testing.assert_array_equal(again.columns[name], column)


@pytest.mark.parametrize(
    ("strings", "error", "message"),
    [
        ([1] * 300, TypeError, "token_strings: the one of row 0 is 1; strings are needed"),
        (["a"] * 299 + [None], TypeError, "token_strings: the one of row 299 is None"),
        (["a", "\ud800"] + ["b"] * 298, ValueError, "token_strings: the one of row 1 .* UTF-8"),
    ],
)
def test_token_strings_that_are_no_text_are_refused_at_once(X, strings, error, message):
    with pytest.raises(error, match=message):
        unmix.Activations(X, token_strings=strings)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"skip_first": -1}, ValueError, "skip_first=-1: a whole number"),
        ({"skip_first": "1"}, TypeError, "skip_first='1': a whole number"),
        ({"skip_token_ids": "1"}, TypeError, "skip_token_ids='1': a list of whole numbers"),
        ({"skip_token_ids": [1, 2.5]}, TypeError, "skip_token_ids.1.=2.5: a whole number"),
    ],
)
def test_impossible_choices_of_tokens_are_refused_by_their_names(activations, options, error, message):
    with pytest.raises(error, match=message):
        unmix.Activations(activations, **options)


def test_activations_show_themselves_in_a_notebook(X):
    shown = unmix.Activations(X, prompt_ids=np.arange(300))._repr_html_()
    assert "300 tokens × 40 neurons, float32" in shown and "prompt_ids" in shown
