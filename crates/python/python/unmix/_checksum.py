"""A checksum of a tensor that is the same on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Words of eight bytes that are summed at once, which bounds the memory.
WORDS = 1 << 17


def checksum(tensor: torch.Tensor) -> tuple[int, int]:
    """Two sums over all bytes of a tensor, plain and weighted by place. They are taken on its device.

    The sums are of whole numbers modulo 2 ** 64, so that neither the device nor the order of summing changes them.
    """
    import torch

    flat = tensor.detach().reshape(-1)
    step = WORDS * 8 // flat.element_size()
    # Odd factors lose no bit of a word.
    factors = 2 * torch.arange(WORDS, device=flat.device) + 1
    plain = torch.zeros((), dtype=torch.int64, device=flat.device)
    weighted = torch.zeros_like(plain)
    for number, start in enumerate(range(0, len(flat), step)):
        words = _words(flat[start : start + step])
        part = words.sum()
        plain += part
        weighted += (words * factors[: len(words)]).sum() + 2 * WORDS * number * part
    return int(plain), int(weighted)


def _words(part: torch.Tensor) -> torch.Tensor:
    """The bytes of a tensor as whole numbers of eight bytes, filled up with zeros."""
    import torch

    content = part.contiguous().view(torch.uint8)
    if len(content) % 8 or content.storage_offset() % 8:
        filled = content.new_zeros(-(-len(content) // 8) * 8)
        filled[: len(content)] = content
        content = filled
    return content.view(torch.int64)
