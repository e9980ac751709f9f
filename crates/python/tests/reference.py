"""Writes the reference of the package to a folder, from its docstrings: ``reference.py FOLDER``. A warning is an error."""

import importlib.util
import pathlib
import sys
import types
import warnings

import pdoc
import unmix


class Absent(types.ModuleType):
    """A package that is not installed, as far as annotations need it."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        is_class = name[0].isupper()
        return type(name, (), {"__module__": self.__name__}) if is_class else Absent(f"{self.__name__}.{name}")


def main(out: pathlib.Path) -> None:
    for name in ("torch", "transformers"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = Absent(name)
    # pdoc looks for names where Python keeps them, and does not ask for those that are imported at their first use.
    vars(unmix).update({name: getattr(unmix, name) for name in unmix.__all__})
    pdoc.render.configure(docformat="numpy", search=False, show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc("unmix", output_directory=out)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
