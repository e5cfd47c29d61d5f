"""Should one use LinearConv? What an experiment answers, how much it weighs, and what it lacks for an answer."""

from __future__ import annotations

from linconv.report.answer.model import Answer, Row, answers, leading, weight
from linconv.report.answer.sentences import missing, sentences

__all__ = ["Answer", "Row", "answers", "leading", "missing", "sentences", "weight"]
