"""The clinic's hand on its account: contacts archived, restored, merged. What people do on a platform while a run is going on."""

import uuid

from services.carepatron_writer.platforms.carepatron.sandbox.clock import Clock
from services.carepatron_writer.platforms.carepatron.sandbox.records import Contact, Records


class Clinic:
    """Changes that no operation of the contract makes."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    def change_status(self, contact: Contact, status: str, merged_into: str | None) -> None:
        """active, archived or merged, and nothing else changes."""
        self._records.record(
            {"kind": "contact", "id": contact.id, "account": contact.account, "body": contact.body, "at": self._clock.text()}
            | {"status": status, "merged_into": merged_into}
        )

    def merge(self, contact: Contact, into: Contact | None = None, *, moves: bool = True) -> Contact:
        """Make one contact of two, for good; without `into` the other one is new. Documents and references move along if they should."""
        if into is None:
            made, body = str(uuid.uuid4()), {**contact.body, "externalReferences": [], "email": None}
            self._records.record(
                {"kind": "contact", "id": made, "account": contact.account, "body": body, "at": self._clock.text()}
                | {"status": "active", "merged_into": None}
            )
            into = self._records.contacts[made]
        self._records.record({"kind": "merge", "id": contact.id, "into": into.id, "moves": moves, "at": self._clock.text()})
        return into
