"""The keys and certificates of one throw-away control plane, made by openssl: elliptic curves, valid for a week.

`ca` signs what the API server and KEDA show; `front` signs what the API server shows to the servers it passes requests
on to; the pair `sa` signs tokens of service accounts.
"""

import shutil
import subprocess
from pathlib import Path

from go_program import unavailable

DAYS = "7"


def make_certificates(folder: Path) -> None:
    """Write `NAME.crt` and `NAME.key` of ca, apiserver, front and proxy, and `sa.key` and `sa.pub`."""
    if not shutil.which("openssl"):
        unavailable("needs openssl: install it")
    for authority in ("ca", "front"):
        _key(folder, authority)
        subject = ["-key", f"{authority}.key", "-subj", f"/CN=testbed-{authority}"]
        _openssl(folder, "req", "-x509", *subject, "-days", DAYS, "-out", f"{authority}.crt")
    make_certificate(folder, "apiserver", "DNS:localhost,IP:127.0.0.1,IP:10.0.0.1")
    make_certificate(folder, "proxy", "DNS:localhost", authority="front", common_name="front-proxy-client")
    _openssl(folder, "genrsa", "-out", "sa.key", "2048")
    _openssl(folder, "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")


def make_certificate(
    folder: Path, name: str, alternatives: str, *, authority: str = "ca", common_name: str | None = None
) -> None:
    """Write `NAME.crt` and `NAME.key`, for servers and clients. Args: alternatives: as openssl has subjectAltName."""
    _key(folder, name)
    _openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={common_name or name}", "-out", f"{name}.csr")
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signer = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial"]
    signed = ["-days", DAYS, "-extfile", extensions.name, "-out", f"{name}.crt"]
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signer, *signed)


def _key(folder: Path, name: str) -> None:
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)
