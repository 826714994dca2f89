"""Links between validators: TLS 1.3, both sides, and only with a certificate that is pinned."""

import asyncio
import ssl
from pathlib import Path

import pytest

from node import keyfile, tls
from node.keyfile import KeyDamaged, KeyExists, KeyExposed, WrongPassphrase

PASSPHRASE = b"open sesame"


class Party:
    """One validator's TLS files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.crt"
        self.der = tls.create_identity(name, self.key, self.certificate, PASSPHRASE)

    def contexts(self, pinned: dict[str, bytes]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        return tls.contexts(self.key, self.certificate, PASSPHRASE, pinned)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "SCRYPT_N", 2)
    monkeypatch.setattr(keyfile, "SCRYPT_P", 1)


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[bytes, bytes, str]:
    """What (server, client) saw of each other's certificate, and the protocol's version."""
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        seen.set_result(shown)
        writer.write(b"x")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        link = writer.get_extra_info("ssl_object")
        try:
            # In TLS 1.3 a refused client certificate shows only at the first read (RFC 8446 §4.4.2)
            if await reader.read(1) != b"x":
                raise ConnectionResetError
            return await seen, link.getpeercert(binary_form=True), link.version()
        finally:
            writer.close()


async def test_two_pinned_parties_know_each_other(tmp_path: Path) -> None:
    one, two = Party(tmp_path, "one"), Party(tmp_path, "two")
    pinned = {"one": one.der, "two": two.der}
    at_server, at_client, version = await handshake(
        one.contexts(pinned)[0], two.contexts(pinned)[1]
    )
    assert version == "TLSv1.3"
    assert tls.organisation_of(at_server, pinned) == "two"
    assert tls.organisation_of(at_client, pinned) == "one"


async def test_a_stranger_gets_no_link(tmp_path: Path) -> None:
    one, two, stranger = (Party(tmp_path, name) for name in ("one", "two", "stranger"))
    pinned = {"one": one.der, "two": two.der}
    everyone = {**pinned, "stranger": stranger.der}
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(one.contexts(pinned)[0], stranger.contexts(everyone)[1])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(stranger.contexts(everyone)[0], two.contexts(pinned)[1])


async def test_older_protocols_are_refused(tmp_path: Path) -> None:
    one, two = Party(tmp_path, "one"), Party(tmp_path, "two")
    pinned = {"one": one.der, "two": two.der}
    client = two.contexts(pinned)[1]
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(one.contexts(pinned)[0], client)


def test_only_the_key_counts_not_the_name(tmp_path: Path) -> None:
    one = Party(tmp_path, "one")
    impostor_folder = tmp_path / "impostor"
    impostor_folder.mkdir()
    impostor = Party(impostor_folder, "one")
    with pytest.raises(tls.PeerNotPinned):
        tls.organisation_of(impostor.der, {"one": one.der})
    with pytest.raises(tls.PeerNotPinned):
        tls.organisation_of(None, {"one": one.der})


def test_the_certificate_never_expires_and_signs_no_others(tmp_path: Path) -> None:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(Party(tmp_path, "one").der)
    assert certificate.not_valid_after_utc.year == 9999
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_certificates_that_prove_nothing_are_refused(tmp_path: Path) -> None:
    der = Party(tmp_path, "one").der
    assert tls.check_certificate(der) == der
    for bad in (b"", b"nonsense", der[:-1], der[:-1] + bytes([der[-1] ^ 1])):
        with pytest.raises(tls.BadCertificate):
            tls.check_certificate(bad)


def test_a_key_that_is_not_ours_to_use_is_refused(tmp_path: Path) -> None:
    one, two = Party(tmp_path, "one"), Party(tmp_path, "two")
    with pytest.raises(WrongPassphrase):
        tls.contexts(one.key, one.certificate, b"guess", {})
    with pytest.raises(KeyDamaged):
        tls.contexts(one.key, two.certificate, PASSPHRASE, {})
    with pytest.raises(KeyExists):
        tls.create_identity("one", one.key, one.certificate, PASSPHRASE)
    one.key.chmod(0o644)
    with pytest.raises(KeyExposed):
        tls.contexts(one.key, one.certificate, PASSPHRASE, {})


def test_the_plain_key_never_reaches_the_disk(tmp_path: Path) -> None:
    one = Party(tmp_path, "one")
    one.contexts({"one": one.der})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.crt", "one.key"]
    assert b"BEGIN PRIVATE KEY" not in one.key.read_bytes()
