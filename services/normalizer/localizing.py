"""What is one provider's own: codes that mean a standard code, and documents whose type the provider's file says."""

from collections.abc import Mapping
from dataclasses import replace

from shared.canonical.elements import Coding
from shared.canonical.reading import ProviderProfile, Reading


def localize(reading: Reading, provider: ProviderProfile) -> None:
    """Put standard codes beside the sender's own, and give documents the type that the file names. What was sent stays."""
    if provider.codes:
        for patient in reading.patients:
            for entry in patient.medical_history:
                entry.code = _with_standard(entry.code, provider.codes)
            for fact in patient.dietary_preferences:
                fact.code = _with_standard(fact.code, provider.codes)
        for document in reading.documents:
            document.type_coding = _with_standard(document.type_coding, provider.codes)
            for result in document.content.results:
                result.code = _with_standard(result.code, provider.codes)
                result.value.code = _with_standard(result.value.code, provider.codes)
    for document in reading.documents if provider.document_types else ():
        codes = (document.type_coding, *document.type_coding.translations) if document.type_coding else ()
        named = (provider.document_types.get(one.code or "") for one in codes)
        document.type = next((one for one in named if one), document.type)


def _with_standard(coding: Coding | None, known: Mapping[str, Coding]) -> Coding | None:
    """The coding with its standard as a further translation; the coding itself may be shared and is not changed."""
    if coding is None or coding.code is None:
        return coding
    found = known.get(f"{coding.system or ''}|{coding.code}")
    if found is None or any(one.code == found.code and one.system == found.system for one in (coding, *coding.translations)):
        return coding
    return replace(coding, translations=[*coding.translations, found])
