"""One method on one matrix, in a process of its own: python worker.py METHOD FILE [options]. Prints JSON.

Imports, reading and converting the activations, and a first matrix product, which starts the threads, are outside of
all times.
"""
import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import sys
import time
import types

import numpy as np
import summary
from matrices import Tensors, activations

# Rows converted at a time, to keep the memory small.
BLOCK = 512
# Times that a product alone is measured.
PRODUCTS = 5


def peak_bytes():
    """Most memory that this process held so far (Linux), in bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def signed(matrix):
    """The activations in float32."""
    return np.ascontiguousarray(matrix, np.float32)


def split(matrix):
    """[X⁺, X⁻], of twice the width: no value is negative, and a factorization Y [Z⁺, Z⁻] of it is Y (Z⁺ − Z⁻) for X."""
    tokens, neurons = matrix.shape
    wide = np.empty((tokens, 2 * neurons), np.float32)
    for first in range(0, tokens, BLOCK):
        rows = slice(first, first + BLOCK)
        np.maximum(matrix[rows], 0, out=wide[rows, :neurons])
        np.maximum(-matrix[rows].astype(np.float32), 0, out=wide[rows, neurons:])
    return wide


def relative_error(x, y, z):
    """‖X − YZ‖² / ‖X‖², block by block."""
    wrong = total = 0.0
    for first in range(0, len(x), BLOCK):
        rows = slice(first, first + BLOCK)
        wrong += float(np.square(x[rows] - y[rows] @ z, dtype=np.float64).sum())
        total += float(np.square(x[rows], dtype=np.float64).sum())
    return wrong / total


SPLIT = "[X⁺, X⁻] ≈ Y W, W at least zero and dense"
DENSE = "X ≈ Y Z, Z dense"


class Stamps:
    """Notes the time after each call of a function, as whoever calls it through `owner` sees it. Of libraries that tell
    no times, this finds the ends of their iterations; their versions are pinned, and wrong numbers of calls are an
    error."""

    def __init__(self, owner, name):
        self.times, function = [], getattr(owner, name)

        def stamped(*args, **named):
            result = function(*args, **named)
            self.times.append(time.perf_counter())
            return result

        setattr(owner, name, stamped)

    def seconds(self, iterations, calls):
        """Seconds of each iteration but the first, each of which makes so many calls."""
        if len(self.times) != iterations * calls:
            raise SystemExit(f"{len(self.times)} calls in {iterations} iterations; {calls} an iteration were expected")
        ends = self.times[calls - 1 :: calls]
        return summary.differences(ends)


def library(x, args, problem, y, z, stamps, calls=1):
    """The result of a library that minimises something else than we do."""
    return {
        "seconds": stamps.seconds(args.library_iterations, calls),
        "iterations": args.library_iterations,
        "problem": problem,
        "own_relative_error": relative_error(x, np.asarray(y), np.asarray(z)),
        "activations_bytes": x.nbytes,
    }


def published(args, *, residual=False):
    """The published iteration, from published.py."""
    import torch
    from published import fit

    x = torch.from_numpy(signed(activations(args.file)[0])).to(args.device)
    if x.is_cuda:
        torch.backends.cuda.matmul.allow_tf32 = args.tf32
        # The first uses load libraries.
        gram = torch.eye(args.rank, device=x.device)
        torch.linalg.solve_ex(gram, gram @ gram)
        x[:1].topk(1, dim=1)
    coefficients = torch.tensor(Tensors(args.start)["coefficients"], device=args.device)
    course = fit(x, coefficients, args.sparsity, args.iterations, residual=residual)
    if x.is_cuda:
        course["device"] = torch.cuda.get_device_name(x.device)
        course["peak_device_bytes"] = torch.cuda.max_memory_allocated(x.device)
    return course | {"activations_bytes": x.numel() * x.element_size()}


def published_with_residual(args):
    """The published iteration with the authors' way to the loss."""
    return published(args, residual=True)


def torch_product(args):
    """YᵀX alone in float32, in the orientation in which it is faster here; what a dense iteration cannot do without."""
    import torch

    x = torch.from_numpy(signed(activations(args.file)[0])).to(args.device)
    y = torch.tensor(Tensors(args.start)["coefficients"], device=args.device)
    orientations = []
    for product in (lambda: y.T @ x, lambda: x.T @ y):
        moments = [time.perf_counter()]
        for _ in range(PRODUCTS + 1):
            product()
            moments.append(time.perf_counter())
        # The first touches the memory.
        orientations.append(summary.differences(moments)[1:])
    return {
        "seconds": min(orientations, key=lambda seconds: summary.spread(seconds)["median"]),
        "iterations": PRODUCTS,
        "problem": "the dense product YᵀX alone",
        "activations_bytes": x.nbytes,
    }


def sklearn_nmf(args):
    """Scikit-learn's batch NMF by coordinate descent, its default solver: coefficients, then features."""
    from sklearn.decomposition import NMF, _nmf

    x, stamps = split(activations(args.file)[0]), Stamps(_nmf, "_update_coordinate_descent")
    model = NMF(args.rank, init="random", tol=0, max_iter=args.library_iterations, random_state=args.seed)
    y = model.fit_transform(x)
    return library(x, args, SPLIT, y, model.components_, stamps, calls=2)


def sklearn_minibatch_nmf(args):
    """Scikit-learn's online NMF; an iteration is a pass over all tokens."""
    from sklearn.decomposition import MiniBatchNMF

    x, stamps = split(activations(args.file)[0]), Stamps(MiniBatchNMF, "_minibatch_step")
    settings = {"init": "random", "tol": 0, "max_no_improvement": None, "random_state": args.seed}
    model = MiniBatchNMF(args.rank, max_iter=args.library_iterations, **settings).fit(x)
    batches = -(-len(x) // model.batch_size)
    return library(x, args, SPLIT, model.transform(x), model.components_, stamps, calls=batches)


def torchnmf(args):
    """pytorch-NMF: multiplicative updates by automatic differentiation, for the Frobenius norm."""
    import torch
    from torchnmf import nmf

    x, stamps = split(activations(args.file)[0]), Stamps(nmf, "_double_backward_update")
    torch.manual_seed(args.seed)
    model = nmf.NMF(x.shape, rank=args.rank)
    model.fit(torch.from_numpy(x), beta=2, tol=float("-inf"), max_iter=args.library_iterations)
    return library(x, args, SPLIT, model.H.detach(), model.W.detach().T, stamps, calls=2)


def nmf_torch(args):
    """nmf-torch with its default algorithm, HALS with inner iterations; the class behind `run_nmf`, which fails below
    ten iterations."""
    import torch
    from nmf.nmf_models import NMFBatchHALS

    x, stamps = split(activations(args.file)[0]), Stamps(NMFBatchHALS, "_update_W")
    penalties = dict.fromkeys(("alpha_W", "l1_ratio_W", "alpha_H", "l1_ratio_H"), 0.0)
    settings = {"init": "random", "beta_loss": 2, "tol": 0, "fp_precision": "float", "device_type": "cpu"}
    settings |= {"random_state": args.seed, "max_iter": args.library_iterations}
    model = NMFBatchHALS(args.rank, **settings, **penalties)
    model.fit(torch.from_numpy(x))
    return library(x, args, SPLIT, model.H, model.W, stamps)


def overcomplete(args):
    """Overcomplete's SemiNMF by multiplicative updates, its default solver."""
    import torch

    optimizers = overcomplete_optimizers()
    x, stamps = signed(activations(args.file)[0]), Stamps(optimizers.semi_nmf, "_one_step_snmf_multiplicative_update")
    torch.manual_seed(args.seed)
    y, z = optimizers.SemiNMF(args.rank, tol=0).fit(torch.from_numpy(x), max_iter=args.library_iterations)
    return library(x, args, DENSE, y, z, stamps)


def overcomplete_optimizers():
    """`overcomplete.optimization` without the package's own __init__, which imports vision models and plots."""
    if "overcomplete" not in sys.modules:
        package = types.ModuleType("overcomplete")
        package.__path__ = importlib.util.find_spec("overcomplete").submodule_search_locations
        sys.modules["overcomplete"] = package
    return importlib.import_module("overcomplete.optimization")


# Function, packages for the record, and what is imported before the clock starts.
METHODS = {
    "torch": (published, ["torch"], ["torch"]),
    "torch-residual": (published_with_residual, ["torch"], ["torch"]),
    "torch-product": (torch_product, ["torch"], ["torch"]),
    "sklearn-nmf": (sklearn_nmf, ["scikit-learn", "numpy"], ["sklearn.decomposition"]),
    "sklearn-minibatch-nmf": (sklearn_minibatch_nmf, ["scikit-learn", "numpy"], ["sklearn.decomposition"]),
    "torchnmf": (torchnmf, ["torchnmf", "torch"], ["torch", "torchnmf.nmf"]),
    "nmf-torch": (nmf_torch, ["nmf-torch", "torch"], ["torch", "nmf.nmf_models"]),
    "overcomplete": (overcomplete, ["overcomplete", "torch"], ["torch"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("file")
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--sparsity", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="file with the coefficients from which the published iteration starts")
    parser.add_argument("--iterations", type=int, default=1500, help="of the published iteration")
    parser.add_argument("--library-iterations", type=int, default=30, help="of other libraries")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tf32", action="store_true")
    args = parser.parse_args()

    run, packages, modules = METHODS[args.method]
    # The libraries print; the result alone goes to standard output.
    with contextlib.redirect_stdout(sys.stderr):
        if args.method == "overcomplete":
            overcomplete_optimizers()
        for module in modules:
            importlib.import_module(module)
        threads = warm_up(sys.modules.get("torch"), args.device)
        before = peak_bytes()
        result = run(args)
    result |= {
        "threads": threads,
        "memory_before_bytes": before,
        "peak_memory_bytes": peak_bytes(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    print(json.dumps(result))


def warm_up(torch, device):
    """Starts the threads of matrix products. Returns their number, where it is known."""
    np.ones((256, 256), np.float32) @ np.ones((256, 256), np.float32)
    if torch is None:
        return None
    # As a fair user would: coefficients that fade away would make it ten times slower.
    torch.set_flush_denormal(True)
    ones = torch.ones(256, 256, device=device)
    torch.matmul(ones, ones)
    return torch.get_num_threads()


if __name__ == "__main__":
    main()
