"""Types of the native module."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import NDArray

__version__: str
DEFAULT_RUNS: int

class DeviceError(RuntimeError): ...

@final
class Activations:
    @staticmethod
    def from_files(
        paths: list[str | os.PathLike[str]], tensor: str | None, leave_out: Mapping[str, Any]
    ) -> Activations: ...
    @staticmethod
    def from_memory(
        bytes: NDArray[np.uint8],
        element_name: str,
        tokens: int,
        neurons: int,
        columns: Mapping[str, list[int]],
    ) -> Activations: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def element(self) -> str: ...
    @property
    def paths(self) -> list[os.PathLike[str]]: ...
    def columns(self) -> dict[str, NDArray[np.int64]]: ...
    def fingerprint(self) -> str: ...
    def rows(self, start: int, stop: int) -> NDArray[np.float32]: ...

@type_check_only
class ModelFamily(TypedDict):
    layers: str
    down: list[str]
    final_norm: str
    norm: str
    epsilon: tuple[str | None, float]
    post_norms: list[str]
    residual_multiplier: str | None

def model_family(model_type: str) -> ModelFamily | None: ...
def model_types() -> list[str]: ...
def layer_prefixes() -> list[str]: ...

@final
class Fit:
    @staticmethod
    def load(path: str | os.PathLike[str]) -> Fit: ...
    @staticmethod
    def from_parts(
        features: NDArray[np.float32],
        coefficients: NDArray[np.float32],
        columns: Mapping[str, NDArray[np.int64]],
        run_json: str,
    ) -> Fit: ...
    def save(self, path: str | os.PathLike[str], force: bool = False) -> None: ...
    def features(self) -> NDArray[np.float32]: ...
    def coefficients(self) -> NDArray[np.float32]: ...
    def columns(self) -> dict[str, NDArray[np.int64]]: ...
    def run_json(self) -> str: ...

def fit(
    activations: Activations,
    options: Mapping[str, Any],
    device_name: str,
    callback: Callable[[dict[str, Any]], object] | None,
) -> tuple[Fit, BaseException | None]: ...
def encode(
    fit: Fit, activations: Activations, penalty: float | None, tolerance: float, device_name: str
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]: ...
def complete_options(options: Mapping[str, Any], neurons: int) -> dict[str, Any]: ...
def main(arguments: list[str]) -> int: ...
def take_log_records() -> list[tuple[int, str, str]]: ...
