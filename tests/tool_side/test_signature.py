"""A signed bundle is taken only as its signer left it; nothing of that is asked for without a key."""

import io
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tool_side import Inspector, load_bundle
from tool_side.bundle.sign import run_keys, run_sign
from tool_side.bundle.signature import SIGNATURE, make_keys
from tool_side.bundle.verify import run_verify
from wafer_data.errors import InputError
from waferroute.cli import main

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_keys(tmp_path_factory.mktemp("keys") / "mine")


@pytest.fixture
def signed(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    assert run_sign(folder, keys[0], out=io.StringIO()) == 0
    return folder


def edit(path: Path, **change: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


class TestKeys:
    def test_the_private_one_is_for_its_owner_only(self, keys: tuple[Path, Path]) -> None:
        private, public = keys
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert b"PRIVATE" in private.read_bytes() and b"PUBLIC" in public.read_bytes()

    def test_no_key_is_overwritten(self, keys: tuple[Path, Path]) -> None:
        before = [path.read_bytes() for path in keys]
        with pytest.raises(InputError, match=r"private\.pem exists"):
            make_keys(keys[0].parent)
        assert [path.read_bytes() for path in keys] == before

    def test_a_lone_public_key_stops_it_too(self, keys: tuple[Path, Path], tmp_path: Path) -> None:
        shutil.copy(keys[1], tmp_path)
        with pytest.raises(InputError, match=r"public\.pem exists"):
            make_keys(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["public.pem"]

    def test_every_pair_is_another(self, keys: tuple[Path, Path], tmp_path: Path) -> None:
        assert make_keys(tmp_path)[1].read_bytes() != keys[1].read_bytes()


class TestSigned:
    def test_its_bundle_is_taken(self, signed: Path, keys: tuple[Path, Path]) -> None:
        loaded = load_bundle(signed, public_key=keys[1])
        assert loaded.signed_by == json.loads((signed / SIGNATURE).read_text())["key"]
        assert Inspector(signed, public_key=keys[1]).models == dict(loaded.models)

    def test_without_a_key_it_is_a_bundle_like_any_other(self, signed: Path) -> None:
        assert load_bundle(signed).signed_by is None

    def test_it_may_move(self, signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
        load_bundle(signed.rename(tmp_path / "elsewhere"), public_key=keys[1])

    def test_signing_again_replaces_the_signature(self, signed: Path, tmp_path: Path) -> None:
        private, public = make_keys(tmp_path / "new")
        run_sign(signed, private, out=io.StringIO())
        load_bundle(signed, public_key=public)
        assert sorted(path.name for path in signed.glob("*.sig*")) == [SIGNATURE]


REFUSED: dict[str, tuple[Change, str]] = {
    "unsigned": (lambda b: (b / SIGNATURE).unlink(), "it is not signed"),
    "manifest changed by a blank": (
        lambda b: (b / "manifest.json").write_bytes((b / "manifest.json").read_bytes() + b" "),
        "does not fit the manifest",
    ),
    "manifest rewritten": (lambda b: edit(b / "manifest.json", version="9.9"), "does not fit the manifest"),
    "graph changed": (lambda b: (b / "full.onnx").write_bytes(b"x"), "full.onnx has 1 bytes"),
    "file added": (lambda b: (b / "extra.onnx").touch(), "signed without extra.onnx"),
    "file added below": (
        lambda b: ((b / "sub").mkdir(), (b / "sub" / "x.py").touch()),
        "signed without sub/x.py",
    ),
    "link added": (lambda b: (b / "link").symlink_to("/"), "signed without link"),
    "file removed": (lambda b: (b / "policy.json").unlink(), "policy.json is missing"),
    "signature of nothing": (lambda b: edit(b / SIGNATURE, signature=""), "does not fit the manifest"),
    "signature no base64": (lambda b: edit(b / SIGNATURE, signature="???"), "does not fit the manifest"),
    "signature no text": (lambda b: edit(b / SIGNATURE, signature=5), "does not fit the manifest"),
    "signature file no JSON": (lambda b: (b / SIGNATURE).write_text("{"), "not valid JSON"),
    "signature file of another kind": (lambda b: (b / SIGNATURE).write_text("[]"), "is not a signature file"),
    "newer signature schema": (lambda b: edit(b / SIGNATURE, schema=2), "update waferroute"),
    "another algorithm": (lambda b: edit(b / SIGNATURE, algorithm="none"), "algorithm 'none'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_where_a_signature_is_asked_for(
    name: str, signed: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = REFUSED[name]
    change(signed)
    with pytest.raises(InputError, match="refused: ") as caught:
        load_bundle(signed, public_key=keys[1])
    assert words in str(caught.value)
    assert main(["verify", str(signed), "--public-key", str(keys[1])]) == 2
    assert main(["inspect", str(signed), str(signed), "--public-key", str(keys[1])]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_signature_of_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    _, other = make_keys(tmp_path / "other")
    with pytest.raises(InputError, match=r"it was signed with the key [0-9a-f]{16}, not with that of"):
        load_bundle(signed, public_key=other)


def test_a_signature_that_only_claims_the_key_is_refused(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    name = json.loads((signed / SIGNATURE).read_text())["key"]
    run_sign(signed, make_keys(tmp_path / "other")[0], out=io.StringIO())
    edit(signed / SIGNATURE, key=name)
    with pytest.raises(InputError, match="does not fit the manifest"):
        load_bundle(signed, public_key=keys[1])


def test_the_raw_manifest_signed_elsewhere_is_no_signature(signed: Path, keys: tuple[Path, Path]) -> None:
    """The key signs bundles as bundles: what it signed for another purpose cannot be passed off as one."""
    import base64

    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(keys[0].read_bytes(), None)
    raw = key.sign((signed / "manifest.json").read_bytes())  # type: ignore[union-attr, call-arg]
    edit(signed / SIGNATURE, signature=base64.b64encode(raw).decode())
    with pytest.raises(InputError, match="does not fit the manifest"):
        load_bundle(signed, public_key=keys[1])


class TestKeyFiles:
    def test_wrong_ones_are_named(self, signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
        broken = tmp_path / "broken.pem"
        broken.write_text("no key")
        for path, words in (
            (tmp_path / "gone.pem", "no such key file"),
            (tmp_path, "cannot be read"),
            (broken, "not a public key"),
            (keys[0], "it is a private key, which has no place on a tool"),
        ):
            with pytest.raises(InputError, match=words):
                load_bundle(signed, public_key=path)
        for path, words in ((broken, "not a private key"), (keys[1], "not a private key")):
            with pytest.raises(InputError, match=words):
                run_sign(signed, path, out=io.StringIO())

    def test_a_key_of_another_kind(self, signed: Path, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (tmp_path / "ec.pem").write_bytes(pem)
        with pytest.raises(InputError, match="no ed25519 key"):
            load_bundle(signed, public_key=tmp_path / "ec.pem")

    def test_a_loaded_bundle_takes_no_key(self, signed: Path, keys: tuple[Path, Path]) -> None:
        with pytest.raises(InputError, match="goes with a bundle's path"):
            Inspector(load_bundle(signed), public_key=keys[1])


class TestSigning:
    @pytest.fixture
    def folder(self, bundle: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(bundle, tmp_path / "bundle"))

    def test_what_is_broken_is_not_signed(self, folder: Path, keys: tuple[Path, Path]) -> None:
        (folder / "full.onnx").write_bytes(b"")
        with pytest.raises(InputError, match=r"full\.onnx has 0 bytes"):
            run_sign(folder, keys[0])
        assert not (folder / SIGNATURE).exists()

    def test_nor_what_holds_other_files(self, folder: Path, keys: tuple[Path, Path]) -> None:
        (folder / "notes.txt").touch()
        with pytest.raises(InputError, match=r"notes\.txt is no part of it"):
            run_sign(folder, keys[0])
        assert not (folder / SIGNATURE).exists()

    def test_the_commands(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        place = tmp_path / "keys"
        assert main(["keys", str(place), "--json"]) == 0
        pair = json.loads(capsys.readouterr().out)
        assert main(["sign", str(folder), "--key", pair["private_key"]]) == 0
        assert main(["verify", str(folder), "--public-key", pair["public_key"]]) == 0
        assert "ok      signature" in capsys.readouterr().out
        assert main(["verify", str(folder)]) == 0
        assert "not checked without --public-key" in capsys.readouterr().out
        assert main(["keys", str(place)]) == 2
        assert main(["sign", str(folder), "--key", str(tmp_path / "gone.pem"), "--json"]) == 2
        said = capsys.readouterr().err
        assert said.count("error: ") == 2

    def test_what_the_commands_say(self, folder: Path, tmp_path: Path) -> None:
        out = io.StringIO()
        run_keys(tmp_path / "k", out=out)
        run_sign(folder, tmp_path / "k" / "private.pem", json_output=True, out=out)
        lines = out.getvalue().splitlines()
        assert "keep it secret" in lines[0] and "copy it to the tools" in lines[1]
        assert json.loads(lines[2])["file"] == SIGNATURE


def test_without_the_package_the_message_says_what_to_install(
    signed: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in ("cryptography.hazmat.primitives", "cryptography.hazmat.primitives.asymmetric"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r'pip install "waferroute\[sign\]"'):
        load_bundle(signed, public_key=keys[1])
    load_bundle(signed)  # nothing is needed where no signature is asked for
    assert run_verify(signed, out=io.StringIO()) == 0
