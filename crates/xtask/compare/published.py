"""The published semi-nonnegative factorization (Shafran, Geiger and Geva, ACL 2026) in PyTorch, from its formulas.

Written as one would who wants it fast: float32, in place where nothing is lost, subnormals flushed to zero. The
formulas are those of tests/data/golden/README.md, against which test_published.py checks this.
"""
import math
import time

import torch

RIDGE = 1e-6
EPSILON = 1e-6
NORM_FLOOR = 1e-8


class Published:
    """X ≈ Y Z with X [n, d], Y [n, K] at least zero, and Z [K, d] with `kept` nonzeros a row."""

    def __init__(self, x, coefficients, sparsity):
        self.x, self.y = x, coefficients
        self.kept = max(1, math.ceil(sparsity * x.shape[1]))
        self.z = self.projections = None
        # Row by row, so that no double-precision copy of X is made.
        self.squared_norm = sum(float(rows.double().square().sum()) for rows in x.split(512))

    @torch.no_grad()
    def step(self):
        """One iteration."""
        x, y = self.x, self.y
        gram = y.T @ y
        gram.diagonal().add_(RIDGE)
        # Without a check, for which a GPU would have to be waited for.
        z = torch.linalg.solve_ex(gram, y.T @ x).result
        if self.kept < z.shape[1]:
            largest = z.abs().topk(self.kept, dim=1, sorted=False).indices
            z = torch.zeros_like(z).scatter_(1, largest, z.gather(1, largest))
        norms = y.norm(dim=0).clamp_(min=NORM_FLOOR)
        y /= norms
        z *= norms[:, None]
        p, q = x @ z.T, z @ z.T
        numerator = torch.addmm(p.clamp(min=0), y, q.clamp(max=0).neg_())
        denominator = torch.addmm(p.clamp(max=0).neg_().add_(EPSILON), y, q.clamp(min=0))
        y *= numerator.div_(denominator).sqrt_()
        self.z, self.projections = z, p

    @torch.no_grad()
    def loss(self):
        """‖X − YZ‖² of the current factors, by the Gram identity, its sums in double precision."""
        tf32 = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        # TF32 is too coarse for a loss, and the step's own projections are then of that precision.
        p = self.x @ self.z.T if tf32 and self.x.is_cuda else self.projections
        inner = torch.mul(self.y, p).sum(dtype=torch.float64)
        grams = torch.mul(self.y.T @ self.y, self.z @ self.z.T).sum(dtype=torch.float64)
        torch.backends.cuda.matmul.allow_tf32 = tf32
        return self.squared_norm - 2 * float(inner) + float(grams)


    @torch.no_grad()
    def residual_loss(self):
        """The same by the residual matrix, as the authors' program takes it after every iteration; a third dense
        product, and matrices of the activations' size."""
        return float((self.x - self.y @ self.z).norm() ** 2)


def fit(x, coefficients, sparsity, iterations, *, residual=False):
    """Iterates from given coefficients, which are overwritten. Returns the seconds of each iteration and the losses
    after each, which are computed while the clock stands. With `residual` the clock also runs while the authors' program
    takes its loss, by the residual matrix, and keeps its best iterate; that loss itself, a sum of so many squares in
    single precision, is too coarse to be compared."""

    def now():
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    published = Published(x, coefficients, sparsity)
    seconds, losses, least = [], [], math.inf
    for _ in range(iterations):
        before = now()
        published.step()
        if residual and (loss := published.residual_loss()) < least:
            least, best = loss, (published.y.clone(), published.z.clone())  # noqa: F841
        seconds.append(now() - before)
        losses.append(published.loss())
    return {
        "start_seconds": 0.0,
        "seconds": seconds,
        "losses": losses,
        "squared_norm": published.squared_norm,
        "kept_per_feature": published.kept,
    }
