"""The writer's part of the command line: `platforms`, `reviews`, `parked`, `repair`."""

import typer

from services.carepatron_writer.commands import parked, platforms, reading_back, reviews


def register(app: typer.Typer) -> None:
    """Add the commands of the writer."""
    about = typer.Typer(help="Platforms that documents are written to.", no_args_is_help=True)
    about.command("list")(platforms.list_platforms)
    about.command("show")(platforms.show_platform)
    about.command("probe")(platforms.probe_platform)
    app.add_typer(about, name="platforms")
    questions = typer.Typer(help="Questions about who is who on a platform.", no_args_is_help=True)
    questions.command("list")(reviews.list_reviews)
    questions.command("show")(reviews.show_review)
    questions.command("decide")(reviews.decide_review)
    app.add_typer(questions, name="reviews")
    waiting = typer.Typer(help="Patients for whom a platform keeps failing.", no_args_is_help=True)
    waiting.command("list")(parked.show_parked)
    waiting.command("release")(parked.release_parked)
    app.add_typer(waiting, name="parked")
    app.command("repair")(reading_back.repair_platform)
