"""The README's lines and the tutorial, executed as they are printed, on fewer prompts."""

import json
import os
import pathlib
import re
import shutil
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.models


def python_of(page: pathlib.Path) -> str:
    """The Python on a page, in the order in which it is printed."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def few_prompts(path: pathlib.Path, step: int) -> None:
    lines = (DOCS / "prompts.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[::step]), encoding="utf-8")


def test_the_lines_of_the_readme_go_from_a_model_to_a_steered_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    few_prompts(tmp_path / "docs/prompts.jsonl", 10)
    exec(compile(python_of(ROOT / "README.md"), "README.md", "exec"), {})
    assert "I walked over to the table and" in capsys.readouterr().out
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert (tmp_path / "my-fit/factorization.safetensors").exists()


@pytest.fixture
def notebook():
    import nbformat

    return nbformat.read(DOCS / "tutorial.ipynb", as_version=4)


def test_the_tutorial_runs_from_its_first_cell_to_its_last(notebook, tmp_path, monkeypatch):
    import nbclient

    shutil.copy(DOCS / "prompts.jsonl", tmp_path)
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    parameters[0].source += "\nprompts, n_components = 120, 40"
    # The package that is tested, in the kernel as well.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": os.fspath(tmp_path)}}).execute()
    assert (tmp_path / "report.html").exists()


def test_the_stored_tutorial_has_all_its_outputs_and_no_path_of_a_machine(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = json.dumps([cell.outputs for cell in code])
    assert not re.search(r"/(tmp|home|root|work|Users)/|Traceback|Warning", text)
