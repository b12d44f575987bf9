"""`make sbom`: a bill of materials (CycloneDX 1.6, JSON) of what an image may hold: every package
of requirements.lock and requirements-build.lock, and every model that `echo-serve fetch` knows,
with licences and hashes.

The same lock gives the same bill, byte for byte.
"""

import argparse
import hashlib
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serve_app.models.manifest import MANIFEST, Artifact, File
from supply.licences import licence_of, licences
from supply.locks import CUDA, ROOT, Pin, of_image, pins

Json = dict[str, Any]


def bill(cuda: bool = False) -> Json:
    """The whole document, with CUDA's libraries if asked for."""
    packages = of_image() + (pins(CUDA) if cuda else [])
    of = licences(packages)
    components = [_package(pin, of[pin.name]) for pin in packages]
    components += [_model(name, artifact) for name, artifact in MANIFEST.items()]
    ours = _ours()
    digest = hashlib.sha256(json.dumps([ours, components]).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn,
        "version": 1,
        "metadata": {"component": ours},
        "components": components,
        "dependencies": [
            {"ref": ours["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]}
        ],
    }


def _ours() -> Json:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    purl = f"pkg:pypi/{project['name']}@{project['version']}"
    return {
        "type": "application",
        "bom-ref": purl,
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "licenses": [{"expression": project["license"]}],
        "purl": purl,
    }


def _package(pin: Pin, licence: str) -> Json:
    """With the hashes of all its files: which of them is installed depends on the machine."""
    purl = f"pkg:pypi/{pin.name}@{pin.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": pin.name,
        "version": pin.version,
        "licenses": [{"expression": licence}],
        "purl": purl,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{pin.name}/{pin.version}/",
                "comment": "one of these files",
                "hashes": [_hash(digest) for digest in pin.hashes],
            }
        ],
    }


def _model(name: str, artifact: Artifact) -> Json:
    """With the files that are loaded, or converted before that."""
    reference = f"model:{name}@{artifact.digest()}"
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": name,
        "version": artifact.digest(),
        "description": artifact.title,
        "licenses": [{"expression": _expression(artifact)}],
        "copyright": artifact.licence,
        "components": [
            {
                "type": "file",
                "bom-ref": f"{reference}/{file.path}",
                "name": file.path,
                "hashes": [_hash(file.sha256)],
            }
            for file in _files(artifact)
        ],
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{wheel.package}/{wheel.version}/",
                "hashes": [_hash(wheel.wheel.sha256)],
            }
            for wheel in artifact.wheels
        ],
    }


def _expression(artifact: Artifact) -> str:
    """models.json says it first, then whose it is. Raises ValueError if it is not recognized."""
    said = re.split("[: ]", artifact.licence)[0]
    return licence_of(artifact.title, {"License-Expression": said})


def _files(artifact: Artifact) -> Iterator[File]:
    joined = artifact.joined
    if joined:
        yield joined.file
    for wheel in artifact.wheels:
        yield from (f for f in wheel.files if not joined or Path(f.path).name not in joined.parts)


def _hash(digest: str) -> Json:
    return {"alg": "SHA-256", "content": digest}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m supply.sbom", description=__doc__)
    parser.add_argument("--cuda", action="store_true", help="with CUDA's libraries")
    parser.add_argument("--out", type=Path, help="a file (default: the terminal)")
    options = parser.parse_args()
    made = bill(options.cuda)
    text = json.dumps(made, indent=1)
    if options.out:
        options.out.write_text(text + "\n")
        print(f"{options.out}: {len(made['components'])} components")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
