"""Mail that carries documents (Direct, RFC 5322 and MIME)."""

import re
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

HEADERS = re.compile(rb"\A(?:[A-Za-z-]{1,60}:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*){0,100}?(?:MIME-Version|Content-Type):", re.IGNORECASE)
ENCRYPTED = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})


@dataclass(slots=True)
class Mail:
    """The attachments, else the text; how many parts were left out (a covering note, signatures, empty parts)."""

    documents: list[bytes] = field(default_factory=list)
    left_out: int = 0
    is_encrypted: bool = False


def open_mail(content: bytes) -> Mail | None:
    """The documents of a mail; None when the bytes are none."""
    if not HEADERS.match(content[:4096].lstrip()):
        return None
    message = message_from_bytes(content, policy=policy.default)
    if not isinstance(message, EmailMessage) or ("MIME-Version" not in message and not message.is_multipart()):
        return None
    mail = Mail()
    texts: list[bytes] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if kind in ENCRYPTED:
            return Mail(is_encrypted=True)
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        is_note = part.get_filename() is None and part.get_content_disposition() != "attachment"
        if is_note and kind in ("text/plain", "text/html"):
            texts.append(data)
        elif kind in SIGNATURES or not data.strip():
            mail.left_out += 1
        else:
            mail.documents.append(data)
    if mail.documents:
        mail.left_out += len(texts)
    else:
        mail.documents = texts[:1]
    return mail
