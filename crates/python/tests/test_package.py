"""The package as a whole: its types, its reference, its names."""

import os
import pathlib
import re
import subprocess
import sys
import types

import unmix

PACKAGE = pathlib.Path(unmix.__file__).parent


def run(*arguments) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.fspath(PACKAGE.parent)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def test_the_stubs_are_those_of_the_native_module(tmp_path):
    allowed = tmp_path / "allowed"
    # PyO3 adds this list to the module.
    allowed.write_text("unmix._unmix.__all__\n")
    checked = run("-m", "mypy.stubtest", "unmix._unmix", "--allowlist", allowed)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_reference_is_written_without_a_warning_and_has_every_public_name(tmp_path):
    written = run(pathlib.Path(__file__).with_name("reference.py"), tmp_path)
    assert written.returncode == 0, written.stderr
    page = (tmp_path / "unmix.html").read_text()
    modules = {name for name in unmix.__all__ if isinstance(getattr(unmix, name), types.ModuleType)}
    assert set(unmix.__all__) - modules - {"__version__"} <= set(re.findall(r'<section id="(\w+)">', page))
    assert all((tmp_path / f"unmix/{name}.html").exists() for name in modules)


def test_importing_unmix_imports_nothing_but_numpy():
    listed = run("-c", "import sys, unmix; print(*sorted(name for name in sys.modules if '.' not in name))")
    assert listed.returncode == 0, listed.stderr
    loaded = set(listed.stdout.split())
    others = {
        "IPython",
        "datasets",
        "joblib",
        "matplotlib",
        "pandas",
        "scipy",
        "sklearn",
        "torch",
        "tqdm",
        "transformers",
    }
    assert "numpy" in loaded and not loaded & others


def test_what_a_fit_does_not_need_is_imported_at_its_first_use():
    listed = run(
        "-c",
        "import sys, unmix\n"
        "early = [name for name in ('collecting', 'estimator', 'steering') if f'unmix.{name}' in sys.modules]\n"
        "missing = [name for name in unmix.__all__ if name not in dir(unmix) or getattr(unmix, name) is None]\n"
        "print(early, missing, callable(unmix.collect), callable(unmix.fit))",
    )
    assert listed.stdout.split("\n")[0] == "[] [] True True", listed.stderr


def test_numpy_is_the_only_package_that_an_installation_needs():
    try:
        import tomllib
    except ImportError:
        import tomli as tomllib
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["project"]
    assert [re.match(r"[\w-]+", need)[0] for need in project["dependencies"]] == ["numpy"]
    assert set(project["optional-dependencies"]) == {"torch", "hf", "notebook"}
