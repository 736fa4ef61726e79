from __future__ import annotations

from extension.pipeline.redactor import Redactor
from extension.presets import PRESETS
from tests.support.redaction_corpus import corpus, scores


def test_presets_are_right_in_99_of_100_cases() -> None:
    """Each preset finds 0.99 of what it is about, and 0.99 of what it finds is that, in a corpus half of negatives."""
    samples = corpus()
    assert sum(1 for sample in samples if not sample.preset) * 2 >= len(samples)
    found = scores(Redactor(PRESETS, [], []), samples)
    assert {name: score for name, score in found.items() if score.precision < 0.99 or score.recall < 0.99} == {}
