"""Writes an output projection to try steering with: python make_projection.py FILE NEURONS"""
import sys

import torch
from safetensors.torch import save_file

torch.manual_seed(0)
save_file({"down_proj": torch.randn(48, int(sys.argv[2]))}, sys.argv[1])
