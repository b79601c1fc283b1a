"""The identity of an image: what it may hold, and that it survives JSON."""

import json
import pickle
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wafer_data.errors import IdentityError, InputError
from wafer_data.image_ref import LONGEST, ImageRef

_NAME = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=LONGEST)
_REFS = st.builds(
    ImageRef,
    path=st.none() | st.text(min_size=1),
    sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    time=st.none() | st.datetimes(timezones=st.just(UTC)),
    **{name: st.none() | _NAME for name in ("tool", "layer", "recipe", "lot", "wafer", "site")},
)


@given(_REFS)
def test_it_survives_json_and_pickling(ref: ImageRef) -> None:
    assert ImageRef.from_dict(json.loads(json.dumps(ref.to_dict()))) == ref
    assert pickle.loads(pickle.dumps(ref)) == ref


def test_json_holds_what_is_known_and_never_the_image() -> None:
    ref = ImageRef(data=b"bytes", wafer="W7", time=datetime(2026, 5, 4, 13, tzinfo=UTC))
    assert ref.to_dict() == {"wafer": "W7", "time": "2026-05-04T13:00:00+00:00"}
    assert "bytes" not in repr(ref) and ref.without_data().data is None


@pytest.mark.parametrize(
    ("image", "source"), [("a.png", "a.png"), (b"..", "<bytes>"), (np.zeros((2, 2)), "<array>")]
)
def test_anything_an_image_may_be_given_as_has_a_reference(image: object, source: str) -> None:
    ref = ImageRef.of(image)  # type: ignore[arg-type]
    assert ref.source == source and ref.content is image
    assert ImageRef.of(ref) is ref


def test_data_counts_before_the_path_that_names_it() -> None:
    ref = ImageRef(path="a.png", data=b"..")
    assert (ref.source, ref.content) == ("a.png", b"..")


@pytest.mark.parametrize(
    "values",
    [
        {"wafer": ""},
        {"lot": "  "},
        {"site": "a\nb"},
        {"tool": "t" * (LONGEST + 1)},
        {"layer": 7},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"time": "yesterday"},
        {"time": "2026-05-04T13:00:00"},
        {"colour": "red"},
        {"data": "x"},
    ],
)
def test_what_is_malformed_is_refused_by_name(values: dict) -> None:
    with pytest.raises(IdentityError, match=next(iter(values))):
        ImageRef.from_dict(values)


def test_what_is_no_image_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not dict"):
        ImageRef.of({})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="neither path nor data"):
        _ = ImageRef(lot="L1").content


def test_a_refusal_is_an_input_error_of_its_own_kind() -> None:
    assert issubclass(IdentityError, InputError) and IdentityError.kind == "identity" != InputError.kind
