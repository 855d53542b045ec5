"""views.sql is what the migrations make."""

from importlib.resources import files


def test_views_are_what_the_newest_migration_of_views_makes() -> None:
    audit = files("services.audit")
    newest = max((one for one in audit.joinpath("migrations").iterdir() if one.name.endswith("_views.sql")), key=lambda one: one.name)

    assert audit.joinpath("views.sql").read_text("utf-8") == newest.read_text("utf-8")
