"""The webhook's keys: a throw-away authority, and the one certificate that it ever signs.

The authority's key is never kept, so nobody can sign a second certificate with it. To renew is to make both anew;
whoever trusts is given the new authority beside those before, as long as these are valid, since another replica may
still show an older certificate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LASTS = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)  # a third of it, as Let's Encrypt and cert-manager do: time to notice that it fails
CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """All of it in PEM. Args: authorities: to be trusted, the newest first. certificate, key: to be shown."""

    authorities: bytes
    certificate: bytes
    key: bytes


def made(names: Sequence[str], now: datetime, *, before: Certificates | None = None) -> Certificates:
    """A new authority, and a certificate of it for a server of these DNS names.

    Args:
        now: with its time zone.
        before: what is trusted until now.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signer = _name("penstock-webhook-authority")
    authority = (
        _begun(signer, signer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _begun(_name(names[0][:64]), signer, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    still = [] if before is None else [one for one in _parsed(before.authorities) if one.not_valid_after_utc > now]
    return Certificates(
        authorities=b"".join(one.public_bytes(Encoding.PEM) for one in (authority, *still)),
        certificate=certificate.public_bytes(Encoding.PEM),
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def due(held: Certificates, names: Sequence[str], now: datetime) -> bool:
    """Whether it is to be made anew: it ends soon, is for other names, of no authority here, or no certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(held.certificate)
        authorities = _parsed(held.authorities)
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return True
    return (
        certificate.not_valid_after_utc - now < RENEW_BEFORE
        or known.get_values_for_type(x509.DNSName) != list(names)
        or not any(_signed(certificate, one) for one in authorities)
    )


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 - InvalidSignature, ValueError, TypeError: it was not
        return False
    return True


def _parsed(authorities: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(authorities)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + LASTS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, sign: bool) -> x509.KeyUsage:
    """An authority signs certificates, a server its handshakes."""
    return x509.KeyUsage(
        digital_signature=not sign,
        key_cert_sign=sign,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
