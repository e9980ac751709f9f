"""What must hold of an installed wheel, in an environment with numpy alone."""

import importlib.metadata
import pathlib
import tempfile

import numpy as np
import unmix


def main() -> None:
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    others = installed - {"unmix", "numpy", "pip", "setuptools", "wheel"}
    assert not others, f"the wheel brought {others}"
    assert unmix.__version__ == importlib.metadata.version("unmix")

    files = importlib.metadata.files("unmix") or []
    licences = {file.name: file.read_text() for file in files if file.name.startswith("LICENSE-")}
    assert set(licences) == {"LICENSE-MIT", "LICENSE-APACHE"}, licences.keys()
    assert "Permission is hereby granted" in licences["LICENSE-MIT"] and "Apache License" in licences["LICENSE-APACHE"]
    assert {"py.typed", "_unmix.pyi"} <= {file.name for file in files}

    # Two groups of neurons, one for each half of the tokens.
    random = np.random.default_rng(0)
    groups = np.zeros((2, 60), np.float32)
    groups[0, :30], groups[1, 30:] = random.normal(size=30), random.normal(size=30)
    strengths = np.zeros((200, 2), np.float32)
    strengths[:100, 0], strengths[100:, 1] = random.random(100) + 1, random.random(100) + 1
    fit = unmix.fit(strengths @ groups, n_components=2, sparsity=0.5, penalty=0.0, random_state=0)
    error = np.linalg.norm(strengths @ groups - fit.coefficients @ fit.components) / np.linalg.norm(strengths @ groups)
    assert error < 0.1, error

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "fit"
        fit.save(path)
        assert np.array_equal(unmix.load(path).components, fit.components)

    print(f"unmix {unmix.__version__} with numpy {np.__version__}: installed, fitted, saved and loaded")


if __name__ == "__main__":
    main()
