"""Writes the reference of the package to a folder, from its docstrings: ``reference.py FOLDER``. A warning is an error."""

import pathlib
import sys
import warnings

import pdoc
import unmix


def main(out: pathlib.Path) -> None:
    # pdoc looks for names where Python keeps them, and does not ask for those that are imported at their first use.
    vars(unmix).update({name: getattr(unmix, name) for name in unmix.__all__})
    pdoc.render.configure(docformat="numpy", search=False, show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Types of packages that need not be installed are shown as they are written.
        warnings.filterwarnings("ignore", message=r"(?s).*(No module named|Import of) '?(torch|transformers)\b")
        pdoc.pdoc("unmix", output_directory=out)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
