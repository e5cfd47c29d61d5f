"""The commit of a measurement is that of the code which measured."""

from linconv.measure.origin import COMMIT, DIRTY, origin
from linconv.results.provenance import git_state


def test_a_commit_made_meanwhile_is_not_that_of_a_measurement(monkeypatch):
    monkeypatch.setenv("LINCONV_GIT_COMMIT", "0" * 40)
    assert git_state() == ("0" * 40, None)  # what whoever asks now is told
    found = origin("cpu", "linconv measure", began=0.0)
    assert (found.git_commit, found.git_dirty) == (COMMIT, DIRTY) != git_state()
