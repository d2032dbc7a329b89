"""Google's part in signing tokens, with RS256 keys of our own."""

import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

PROJECT = "school-prod"
AUDIENCE = "https://us-central1-school-prod.cloudfunctions.net/merge_answers"
ACCOUNT = "lectern-events@school-prod.iam.gserviceaccount.com"


def key_and_certificate() -> tuple[rsa.RSAPrivateKey, str]:
    """
    A private key, and the certificate of its public half in PEM.

    The key is no text: reading one checks its primes, which takes far longer than signing with it.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(serialization.Encoding.PEM).decode()


KEY, CERTIFICATE = key_and_certificate()
OTHER_KEY, _ = key_and_certificate()


class CertificateServer:
    """What Google's certificate endpoint answers."""

    status = 200
    headers = {"cache-control": "max-age=3600"}  # noqa: RUF012  nobody changes it
    data = json.dumps({"k1": CERTIFICATE}).encode()

    def __call__(self, *_arguments, **_keywords):
        return self
