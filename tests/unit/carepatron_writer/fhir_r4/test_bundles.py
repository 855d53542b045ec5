"""Transactions: no identity twice, the SubmissionSet of IHE MHD."""

import pytest

from services.carepatron_writer.platforms.fhir_r4.bundles import Transaction, add_binary, profiled, submission_set
from services.carepatron_writer.platforms.fhir_r4.sandbox.rules import first_fault
from tests.contract.writing_fakes import an_upload

DOCUMENT = {"resourceType": "DocumentReference", "status": "current"}


def test_one_identity_never_stands_twice_in_a_transaction() -> None:
    transaction = Transaction()
    transaction.add(DOCUMENT, if_none_exist="identifier=urn:x|1")
    transaction.add(DOCUMENT, if_none_exist="identifier=urn:x|2")
    transaction.put(DOCUMENT, "9")

    with pytest.raises(ValueError, match="one identity"):
        transaction.add(DOCUMENT, if_none_exist="identifier=urn:x|1")
    with pytest.raises(ValueError, match="one identity"):
        transaction.put(DOCUMENT, "9", etag='W/"1"')
    assert len(transaction.entries) == 3


def test_a_binary_has_an_id_of_ours_where_the_server_takes_one() -> None:
    upload, own, named = an_upload(), Transaction(), Transaction()

    url, name = add_binary(own, upload, is_at_own_id=True), add_binary(named, upload, is_at_own_id=False)

    assert own.entries[0]["request"] == {"method": "PUT", "url": url}
    assert (named.entries[0]["request"]["method"], named.entries[0]["fullUrl"]) == ("POST", name)
    assert name.startswith("urn:uuid:")


def test_a_submission_set_is_fhir_and_the_same_for_the_same_version() -> None:
    upload = an_upload()
    made = [submission_set(upload, "77", "urn:uuid:1", created="2026-11-23T20:58:00Z", source_oid="") for _ in range(2)]

    assert made[0] == made[1]
    assert first_fault(made[0], "List") is None
    assert [one["use"] for one in made[0]["identifier"]] == ["official", "usual"]
    assert made[0]["extension"][0]["valueIdentifier"]["value"].startswith("urn:oid:2.25.")


def test_a_profile_is_claimed_once() -> None:
    assert profiled(profiled(DOCUMENT, "a"), "a")["meta"] == {"profile": ["a"]}
