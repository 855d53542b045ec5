"""Packages of documents: gzip, zip (IHE XDM too), tar, mail, and a document wrapped in JSON or Base64. Nothing is written to disk.

What a package says of its own sizes is not believed; names are only looked at to leave out what is no document.
"""

import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from shared.formats.mail import Mail, open_mail
from shared.formats.wrapped import unwrap
from shared.formats.xdm import read_submission
from shared.identity import PatientIdentifier
from shared.outcomes import Reason

MAX_MEMBERS = 2_000
MAX_BYTES = 32 << 20  # of all members together, unpacked
MAX_NESTED = 3  # packages inside packages
MAX_DIRECTORY_BYTES = 1 << 20  # of a zip: so many members that reading their names would take memory

GZIP, ZIP, EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
TAR, TAR_AT = b"ustar", 257
END_OF_ZIP = struct.Struct("<4s4H2LH")
OFFICE = frozenset({"[Content_Types].xml", "mimetype"})  # the first names of files that are zip by accident
XDM = "IHE_XDM"
METADATA = "METADATA.XML"
# what stands beside the documents: style sheets, schemas, indexes, what file systems leave behind
LEFT_OUT = re.compile(r"(?:\A|/)(?:\.[^/]*|__MACOSX/.*|Thumbs\.db|desktop\.ini|[^/]*\.(?:xslt?|css|xsd|dtd|js))\Z", re.IGNORECASE)
LEFT_OUT_OF_XDM = re.compile(r"(?:\A|/)(?:INDEX\.HTML?|README[^/]*|METADATA\.XML)\Z", re.IGNORECASE)


class RefusedPackage(Exception):
    """The package is not unpacked; the message has no content."""

    def __init__(self, reason: Reason, where: str | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.where = where


@dataclass(slots=True)
class Member:
    """One document of a package, with whom the package says it is about."""

    content: bytes
    patient: PatientIdentifier | None = None


@dataclass(slots=True)
class Unpacked:
    """The documents of a package in order, and how many members were left out because they are none."""

    members: list[Member] = field(default_factory=list)
    left_out: int = 0
    size: int = 0

    def add(self, content: bytes, patient: PatientIdentifier | None = None) -> None:
        """Add a member. Raises RefusedPackage beyond the limits."""
        self.size += len(content)
        if self.size > MAX_BYTES:
            raise RefusedPackage(Reason.CONTENT_TOO_LARGE)
        self.members.append(Member(content, patient))
        if len(self.members) > MAX_MEMBERS:
            raise RefusedPackage(Reason.TOO_MANY_PARTS, f"member[{MAX_MEMBERS}]")


def is_packed(content: bytes) -> bool:
    """Whether the bytes are compressed or packed, so that what is inside cannot be seen."""
    return content.startswith((GZIP, ZIP, EMPTY_ZIP)) or content[TAR_AT : TAR_AT + len(TAR)] == TAR


def unpack(content: bytes) -> Unpacked | None:
    """The documents inside, packages inside packages too; None when the bytes are no package. Raises RefusedPackage."""
    found = _open(content, MAX_BYTES)
    if found is None:
        return None
    flat = Unpacked(left_out=found.left_out)
    _flatten(found, flat, 1)
    return flat


def _flatten(found: Unpacked, flat: Unpacked, depth: int) -> None:
    for one in found.members:
        inner = _open(one.content, MAX_BYTES - flat.size)
        if inner is None:
            flat.add(one.content, one.patient)
        elif depth >= MAX_NESTED:
            raise RefusedPackage(Reason.TOO_DEEP)
        else:
            flat.left_out += inner.left_out
            for each in inner.members:
                each.patient = each.patient or one.patient
            _flatten(inner, flat, depth + 1)


def _open(content: bytes, limit: int) -> Unpacked | None:
    """One level of a package."""
    if content.startswith(GZIP):
        return _gunzip(content, limit)
    if content.startswith((ZIP, EMPTY_ZIP)):
        return _unzip(content, limit)
    if content[TAR_AT : TAR_AT + len(TAR)] == TAR:
        return _untar(content, limit)
    if (mail := open_mail(content)) is not None:
        return _from_mail(mail)
    if (wrapped := unwrap(content)) is not None:
        found = Unpacked()
        found.add(wrapped)
        return found
    return None


def _from_mail(mail: Mail) -> Unpacked:
    if mail.is_encrypted:
        raise RefusedPackage(Reason.ENCRYPTED)
    found = Unpacked(left_out=mail.left_out)
    for one in mail.documents:
        found.add(one)
    return found


def _gunzip(content: bytes, limit: int) -> Unpacked:
    """All members of a gzip file, as one (RFC 1952, section 2.2)."""
    out = bytearray()
    rest = content
    while rest.startswith(GZIP):
        inflate = zlib.decompressobj(wbits=31)
        try:
            out += inflate.decompress(rest, limit + 1 - len(out))
        except zlib.error:
            raise RefusedPackage(Reason.MALFORMED_DOCUMENT, "gzip") from None
        if len(out) > limit:
            raise RefusedPackage(Reason.CONTENT_TOO_LARGE)
        if not inflate.eof:
            raise RefusedPackage(Reason.MALFORMED_DOCUMENT, "gzip")
        rest = inflate.unused_data.lstrip(b"\0")
    found = Unpacked()
    found.add(bytes(out))
    return found


def _unzip(content: bytes, limit: int) -> Unpacked | None:
    end = content.rfind(b"PK\x05\x06")
    if end < 0 or len(content) < end + END_OF_ZIP.size:
        raise RefusedPackage(Reason.MALFORMED_DOCUMENT, "zip")
    if END_OF_ZIP.unpack_from(content, end)[5] > MAX_DIRECTORY_BYTES:
        raise RefusedPackage(Reason.TOO_MANY_PARTS, f"member[{MAX_MEMBERS}]")
    found = Unpacked()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            listed = archive.infolist()
            if listed and listed[0].filename in OFFICE:
                return None  # a document of an office program
            if len(listed) > MAX_MEMBERS:
                raise RefusedPackage(Reason.TOO_MANY_PARTS, f"member[{MAX_MEMBERS}]")
            is_xdm = any(XDM in PurePosixPath(one.filename).parts for one in listed)
            patients = _submissions(archive, listed) if is_xdm else {}
            for one in listed:
                _check(one)
                if one.is_dir():
                    continue
                if _is_left_out(one.filename, is_xdm=is_xdm):
                    found.left_out += 1
                else:
                    found.add(_read(archive, one, limit - found.size), patients.get(one.filename))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise RefusedPackage(Reason.MALFORMED_DOCUMENT, "zip") from None
    return found


def _check(member: zipfile.ZipInfo) -> None:
    """Raises RefusedPackage for a member that no honest sender makes."""
    if member.flag_bits & 1:
        raise RefusedPackage(Reason.ENCRYPTED)
    if stat.S_ISLNK(member.external_attr >> 16) or _climbs(member.filename):
        raise RefusedPackage(Reason.HOSTILE_PACKAGE)


def _climbs(name: str) -> bool:
    """Whether a name leads out of its folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's bytes, never more than the limit whatever it says of its size."""
    with archive.open(member) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise RefusedPackage(Reason.CONTENT_TOO_LARGE)
    return content


def _is_left_out(name: str, *, is_xdm: bool) -> bool:
    return LEFT_OUT.search(name) is not None or (is_xdm and LEFT_OUT_OF_XDM.search(name) is not None)


def _submissions(archive: zipfile.ZipFile, listed: list[zipfile.ZipInfo]) -> dict[str, PatientIdentifier]:
    """Whom the submission sets of an XDM say their files are about (IHE ITI TF-2b, 3.32.4.1.2)."""
    found: dict[str, PatientIdentifier] = {}
    for one in listed:
        path = PurePosixPath(one.filename)
        if path.name.upper() == METADATA:
            for name, patient in read_submission(_read(archive, one, MAX_BYTES)).items():
                found[str(path.parent / name)] = patient
    return found


def _untar(content: bytes, limit: int) -> Unpacked:
    found = Unpacked()
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for number, one in enumerate(archive):
                if number >= MAX_MEMBERS:
                    raise RefusedPackage(Reason.TOO_MANY_PARTS, f"member[{MAX_MEMBERS}]")
                if one.isdir():
                    continue
                if not one.isfile() or _climbs(one.name):
                    raise RefusedPackage(Reason.HOSTILE_PACKAGE)
                if _is_left_out(one.name, is_xdm=False):
                    found.left_out += 1
                    continue
                file = archive.extractfile(one)
                data = file.read(limit - found.size + 1) if file else b""
                found.add(data)
    except (tarfile.TarError, EOFError, ValueError, OSError):
        raise RefusedPackage(Reason.MALFORMED_DOCUMENT, "tar") from None
    return found
