"""Warnings of the user's code are shown once."""

import warnings

from netwright.values.warned import each_warning_once


def test_a_line_that_warns_again_and_again_is_shown_once(monkeypatch):
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: seen.append(str(message)))
        each_warning_once()
        for word in ("careful", "careful", "mind the step"):
            warnings.warn(word, stacklevel=1)
            with warnings.catch_warnings():  # others change the filters in between
                warnings.simplefilter("default")
    assert seen == ["careful", "mind the step"]
