"""Tensors of torch, and processes that use torch as well."""

import importlib
import logging
import subprocess
import sys

import numpy as np
import pytest
import unmix

pytestmark = pytest.mark.models

SMALL = {"n_components": 4, "max_iter": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def torch():
    """The package, which the quick run does without."""
    return importlib.import_module("torch")


@pytest.fixture(scope="module")
def X(torch):
    """Numbers that all types of numbers hold exactly: small whole numbers."""
    return torch.from_numpy(np.random.default_rng(0).integers(-20, 20, size=(300, 40)).astype(np.float32))


def bits(fit):
    return fit.components.tobytes() + fit.coefficients.tobytes()


def test_tensors_give_the_bits_of_arrays(torch, X):
    expected = bits(unmix.fit(X.numpy(), **SMALL))
    assert bits(unmix.fit(X, **SMALL)) == expected
    assert bits(unmix.fit(X.double(), **SMALL)) == expected
    assert bits(unmix.fit(X.clone().requires_grad_(), **SMALL)) == expected
    assert bits(unmix.fit(torch.nn.Parameter(X.clone()), **SMALL)) == expected
    assert bits(unmix.fit(X.T.contiguous().T, **SMALL)) == expected
    assert bits(unmix.fit(torch.repeat_interleave(X, 2, dim=1)[:, ::2], **SMALL)) == expected
    assert bits(unmix.fit(torch._neg_view(-X), **SMALL)) == expected
    assert bits(unmix.fit(X.int(), **SMALL)) == expected


def test_half_precision_tensors_give_the_bits_of_half_precision_arrays(torch, X):
    assert bits(unmix.fit(X.half(), **SMALL)) == bits(unmix.fit(X.numpy().astype(np.float16), **SMALL))


def test_bfloat16_is_read_by_its_bits_without_a_copy(torch, X):
    narrow = X.bfloat16()
    activations = unmix.Activations(narrow)
    assert activations.dtype == "bfloat16" and (activations[:] == X.numpy()).all()
    narrow[2, 3] = 1.5
    assert activations[2][3] == 1.5
    narrow[2, 3] = X[2, 3]
    fit = unmix.fit(narrow, **SMALL)
    assert fit.run["input"]["element"] == "bf16"
    assert bits(unmix.fit(narrow.T.contiguous().T, **SMALL)) == bits(fit)


def test_columns_can_be_tensors(torch, X):
    activations = unmix.Activations(X, token_ids=torch.arange(300), prompt_ids=torch.zeros(300, dtype=torch.int32))
    assert activations.columns["token_ids"].tolist() == list(range(300))


def test_sparse_and_wrongly_shaped_tensors_are_refused(torch, X):
    with pytest.raises(TypeError, match="Sparse data was passed"):
        unmix.fit(X.to_sparse(), **SMALL)
    with pytest.raises(ValueError, match="Expected 2D array, got 3D"):
        unmix.fit(X[None], **SMALL)
    with pytest.raises(ValueError, match="Complex data not supported"):
        unmix.fit(X.to(torch.complex64), **SMALL)


def test_tensors_whose_numbers_numpy_cannot_have_are_refused_with_what_to_give(torch, X):
    with pytest.raises(TypeError, match=r"X: torch.float8_e4m3fn has no counterpart in numpy; give X.float\(\)"):
        unmix.fit(X.to(torch.float8_e4m3fn), **SMALL)
    with pytest.raises(TypeError, match=r"X: numbers are needed, but these are quantized .*X.dequantize\(\)"):
        unmix.fit(torch.quantize_per_tensor(X, 0.1, 0, torch.qint8), **SMALL)
    with pytest.raises(ValueError, match="X: the tensor is on the device meta"):
        unmix.fit(X.to("meta"), **SMALL)


def test_tensors_on_a_gpu_are_copied_with_a_word_about_it(torch, X, caplog):
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU that torch knows")
    with caplog.at_level(logging.WARNING, logger="unmix"):
        fit = unmix.fit(X.cuda(), **SMALL)
    assert bits(fit) == bits(unmix.fit(X, **SMALL)) and "copied from cuda" in caplog.text


def test_fits_and_torchs_threads_live_in_one_process(torch, X):
    expected = bits(unmix.fit(X, **SMALL))
    a = torch.randn(800, 800)
    for _ in range(3):
        product = a @ a
        assert bits(unmix.fit(X, **SMALL)) == expected
        torch.testing.assert_close(a @ a, product)


def test_a_fit_runs_in_a_worker_of_a_data_loader():
    program = """
import numpy as np, torch, unmix

def fit(seed):
    X = np.random.default_rng(seed).normal(size=(200, 32)).astype(np.float32)
    return unmix.fit(X, n_components=3, device="cpu", max_iter=3).components.copy()

class Fits(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, seed):
        return torch.from_numpy(fit(seed))

if __name__ == "__main__":
    expected = [fit(seed) for seed in range(4)]
    torch.randn(500, 500) @ torch.randn(500, 500)
    loader = torch.utils.data.DataLoader(Fits(), num_workers=2, batch_size=None, multiprocessing_context="fork")
    assert all((found.numpy() == own).all() for found, own in zip(loader, expected, strict=True))
    print("same")
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=300)
    assert done.stdout == "same\n", done.stderr
