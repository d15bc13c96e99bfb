"""What others rely on: the names, their documentation, and an import that costs nothing."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import hf_canon

PACKAGES = [
    "hf_canon",
    *(
        f"hf_canon.{name}"
        for name in (
            *("groups", "quadratic", "canonicalizers", "adaptation", "objectives", "training"),
            *("evaluation", "prediction", "hub", "generative"),
        )
    ),
]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_nothing_slow() -> None:
    slow = "torch, transformers, datasets, peft, accelerate, matplotlib, gradio"
    code = f"import sys, hf_canon; print([m for m in '{slow}'.split(', ') if m in sys.modules])"
    assert python(code) == "[]"


@pytest.mark.covering()  # `hf_canon` itself, which has everything; that there is no circle is held by lint-imports
@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_can_be_the_first_import(package: str) -> None:
    """And matplotlib waits until a figure is drawn."""
    code = f"import sys, {package} as package; print([getattr(package, name) for name in package.__all__] != [], "
    assert python(code + "'matplotlib' in sys.modules)") == "True False"


@pytest.mark.covering()
@pytest.mark.parametrize("first", ["hf_canon", "transformers"])
def test_auto_classes_know_us_whichever_is_imported_first(first: str) -> None:
    code = {
        "hf_canon": "import hf_canon; from transformers import AutoConfig, AutoModelForImageClassification",
        "transformers": "from transformers import AutoConfig, AutoModelForImageClassification; import hf_canon",
    }[first]
    code += "; config = AutoConfig.for_model('canonicalized')"
    code += "; print(AutoModelForImageClassification._model_mapping[type(config)].__name__)"
    assert python(code) == "CanonicalizedForImageClassification"


@pytest.mark.slow
def test_the_configuration_is_known_before_any_model_is() -> None:
    code = "import hf_canon; from transformers import AutoConfig; print(AutoConfig.for_model('canonicalized').group)"
    assert python(code) == "c4"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_documented(package: str) -> None:
    module = import_module(package)
    assert module.__doc__
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"{package}.{name}"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Canonicaliser'"):
        hf_canon.Canonicaliser  # noqa: B018
