"""The bill of materials is valid CycloneDX, complete, and the same each time."""

import copy
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from serve_app.models.manifest import MANIFEST
from supply.locks import BUILD, CUDA, RUN, pins
from supply.sbom import Json, bill


def components(of: Json, kind: str) -> dict[str, Json]:
    return {each["name"]: each for each in of["components"] if each["type"] == kind}


def shortened(of: Json) -> Json:
    """A few packages, all models, and two hashes of each: the validator compares each component
    and each hash with each other one, for half a minute."""
    short = copy.deepcopy(of)
    libraries = list(components(short, "library").values())
    models = list(components(short, "machine-learning-model").values())
    short["components"] = libraries[:5] + libraries[-5:] + models
    for component in short["components"]:
        for reference in component["externalReferences"]:
            del reference["hashes"][2:]
    return short


def test_it_is_valid() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(shortened(bill(cuda=True)))) is None


@pytest.mark.parametrize("mistake", [{"type": "librari"}, {"licenses": ["MIT"]}, {"colour": "red"}])
def test_a_mistake_would_be_found(mistake: Json) -> None:
    (component, *_) = bill()["components"]
    wrong = bill() | {"components": [component | mistake]}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None


def test_every_package_is_there_with_its_hashes() -> None:
    libraries = components(bill(cuda=True), "library")
    for pin in (*pins(RUN), *pins(BUILD), *pins(CUDA)):
        (reference,) = libraries[pin.name]["externalReferences"]
        assert libraries[pin.name]["version"] == pin.version
        assert [each["content"] for each in reference["hashes"]] == list(pin.hashes)
    assert not any(name.startswith("nvidia-") for name in components(bill(), "library"))


def test_every_model_is_there_with_the_hashes_of_its_files() -> None:
    models = components(bill(), "machine-learning-model")
    assert set(models) == set(MANIFEST)
    (joined, *_) = models["qwen2.5-coder-0.5b-instruct"]["components"]
    expected = MANIFEST["qwen2.5-coder-0.5b-instruct"].joined
    assert expected and joined["hashes"][0]["content"] == expected.file.sha256
    assert len(models["whisper-tiny.en"]["components"]) == 3


def test_the_same_lock_gives_the_same_bill() -> None:
    assert bill() == bill()
    assert bill()["serialNumber"] != bill(cuda=True)["serialNumber"]
