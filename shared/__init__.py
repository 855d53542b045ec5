"""The words and pipes that two or more services share: topics, events, outcomes, identity, delivery, storage."""
