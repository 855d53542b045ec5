"""The books (DESIGN 7): `verify` proves that every document is accounted for, `demo_report` tells what became of given ones."""

from services.audit.bookkeeping import Books, books_line
from services.audit.demo_report import demo_report
from services.audit.verification import verify

__all__ = ["Books", "books_line", "demo_report", "verify"]
