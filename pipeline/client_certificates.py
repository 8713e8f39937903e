"""Client certificates as people paste them: judged when they are declared, so that no check finds out at night.

Pure. cryptography is loaded for whoever brings one.
"""

from __future__ import annotations

import re

_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.+?-----END (?:[A-Z]+ )*PRIVATE KEY-----", re.DOTALL)


def judge_pem(text: str) -> str:
    """The PEM as given: a certificate, its chain, its key. Errors: ValueError with advice, and nothing of the PEM."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        leaf = x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError:
        raise ValueError("this is no certificate in PEM: paste all of it, with its BEGIN and END lines") from None
    found = _KEY.search(text)
    if found is None:
        raise ValueError("its private key is missing: paste that below the certificate")
    try:
        key = load_pem_private_key(found[0].encode(), None)
        of_key, of_leaf = (
            each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for each in (key.public_key(), leaf.public_key())
        )
    except TypeError:
        raise ValueError(
            "its key has a pass phrase, which nobody is there to type: `openssl pkey` takes it away"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("its key cannot be read: paste it whole, as PEM") from None
    if of_key != of_leaf:
        raise ValueError("its key is that of another certificate: the site's own certificate comes first")
    return text
