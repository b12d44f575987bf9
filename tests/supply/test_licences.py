"""The page of licences says what is installed, and a licence that nobody knows is noticed."""

import pytest

from supply.licences import (
    TO_KNOW,
    groups,
    has_conditions,
    is_licence,
    licence_of,
    licences,
    page,
)
from supply.locks import ROOT


def test_the_page_says_what_is_locked_and_installed() -> None:
    written = (ROOT / "docs/licences.md").read_text()
    assert written == "\n".join(page()) + "\n", "python -m supply.licences > docs/licences.md"


def test_what_has_conditions_is_explained() -> None:
    of = {name: said for found in groups().values() for name, said in licences(found).items()}
    conditional = {n for n, said in of.items() if "GPL" in said or "MPL" in said}
    assert conditional <= set(TO_KNOW) <= set(of)


@pytest.mark.parametrize(
    ("expression", "conditional"),
    [
        ("MIT OR Apache-2.0", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("MIT AND LGPL-2.1-or-later", True),
        ("EPL-2.0", True),
        ("CDDL-1.0", True),
        ("CC-BY-SA-4.0", True),
        ("LicenseRef-NVIDIA-Proprietary", True),
    ],
)
def test_what_wants_more_than_its_notice_has_conditions(expression: str, conditional: bool) -> None:
    """A licence that nobody has looked at has: the list is of those that have none."""
    assert has_conditions(expression) == conditional


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"License-Expression": "MIT OR Apache-2.0", "License": "x"}, "MIT OR Apache-2.0"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "MIT License\n\nCopyright ..."}, "MIT"),
        (
            {"License": "see LICENSE", "Classifier": "X\nLicense :: OSI Approved :: ISC License"},
            "ISC",
        ),
    ],
)
def test_a_licence_is_found_in_what_a_package_says(metadata: dict[str, str], said: str) -> None:
    assert licence_of("somebody", metadata) == said


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"License": "BSD"}, {"License-Expression": "Beerware-9"}, {"License": "Free"}],
)
def test_what_is_not_recognized_is_refused(metadata: dict[str, str] | None) -> None:
    with pytest.raises(ValueError, match="somebody"):
        licence_of("somebody", metadata)


def test_nvidias_licence_is_no_spdx_expression_but_known() -> None:
    assert licence_of("nvidia-something", None) == "LicenseRef-NVIDIA-Proprietary"
    assert is_licence("Apache-2.0 WITH LLVM-exception") and not is_licence("")
