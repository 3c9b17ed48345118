"""The lab's own secrets, made once and kept in its folder with mode 0600."""

from __future__ import annotations

import json
import secrets
import uuid
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from pathlib import Path

from labctl.errors import BadFile
from labctl.places import write_whole

KEY_BYTES = 256  # what pcs makes; corosync asks for 128 to 4096 (corosync-keygen(8))


@dataclass(frozen=True)
class Secrets:
    """Keys and tokens of one lab.

    corosync_key, pacemaker_key: raw bytes.  pcs_token: the bearer token that every node's
    pcsd knows for hacluster.  cluster_uuid: 32 hex digits.  ssh_private, ssh_public: OpenSSH
    text.  pcsd_key, pcsd_certificate: PEM text, one pair for all nodes.
    """

    corosync_key: bytes
    pacemaker_key: bytes
    pcs_token: str
    cluster_uuid: str
    ssh_private: str
    ssh_public: str
    pcsd_key: str
    pcsd_certificate: str


def load_or_make(folder: Path, lab: str) -> Secrets:
    """The lab's secrets; made when there are none. Raises BadFile when the file is damaged."""
    path = folder / "secrets.json"
    if not path.exists():
        made = _make(folder, lab)
        packed = {name: _pack(value) for name, value in asdict(made).items()}
        write_whole(path, json.dumps(packed, indent=1), mode=0o600)
        return made
    try:
        raw = json.loads(path.read_text())
        raw["corosync_key"] = b64decode(raw["corosync_key"])
        raw["pacemaker_key"] = b64decode(raw["pacemaker_key"])
        return Secrets(**raw)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadFile(
            f"{path} is damaged ({error}).", mend=f"labctl down --lab {lab} && labctl up --lab {lab}"
        ) from None


def ssh_key_file(folder: Path) -> Path:
    """Where the private key lies for ssh(1)."""
    return folder / "id_ed25519"


def _make(folder: Path, lab: str) -> Secrets:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private, public = _ssh_pair(f"labctl {lab}")
    write_whole(ssh_key_file(folder), private, mode=0o600)
    key, certificate = _certificate(f"labctl {lab}")
    return Secrets(
        corosync_key=secrets.token_bytes(KEY_BYTES),
        pacemaker_key=secrets.token_bytes(KEY_BYTES),
        pcs_token=str(uuid.uuid4()),
        cluster_uuid=uuid.uuid4().hex,
        ssh_private=private,
        ssh_public=public,
        pcsd_key=key,
        pcsd_certificate=certificate,
    )


def _ssh_pair(comment: str) -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} {comment}\n"


def _certificate(name: str) -> tuple[str, str]:
    """A self-signed certificate for pcsd: ten years, as pcsd itself makes it.

    Elliptic, because four RSA keys made at once cost seconds of a small laptop.
    """
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pack(value: str | bytes) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else value
