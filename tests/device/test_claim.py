# Who may write the log: the version that did, newer ones, and older ones of the same format
import os

from app import claim
from app.version import VERSION
from shards import frame

_FOLDER = "/tmp/batmon-test-claim-%s" % os.urandom(4).hex()  # of this process
_FILE = _FOLDER + "/version"


def _left(text):
    """What a version left in the log's folder, None for nothing, not even the folder."""
    for remove, path in ((os.remove, _FILE), (os.rmdir, _FOLDER)):
        try:
            remove(path)
        except OSError:
            pass
    if text is not None:
        os.mkdir(_FOLDER)
        with open(_FILE, "w") as f:
            f.write(text)


def _now():
    with open(_FILE) as f:
        return f.read()


def test_a_version_notes_itself_whatever_was_there():
    mine = "%s %d\n" % (VERSION, frame.VERSION)
    for text in (
        None,  # a new board
        "",  # a power cut
        mine,
        "0.1.9 0\n",
        "99.0.0 %d\n" % frame.VERSION,  # newer, but of this format
        "\x00\xff nonsense",
        "1 2 3",
        "0.3.0",
    ):
        _left(text)
        claim.claim(_FOLDER)
        assert _now() == mine, text


def test_a_newer_format_is_left_alone_and_both_versions_are_named():
    newer = "99.1.0 %d\n" % (frame.VERSION + 1)
    _left(newer)
    try:
        claim.claim(_FOLDER)
        assert False, "claimed"
    except ValueError as exc:
        sentence = str(exc)
    assert "batmon 99.1.0" in sentence and "this is %s" % VERSION in sentence, sentence
    assert "install 99.1.0 or newer" in sentence, sentence
    assert _now() == newer
    _left(None)


def test_a_volume_that_cannot_be_written_stops_nothing():
    _left(None)
    with open(_FOLDER, "w"):  # a file where the folder should be
        pass
    claim.claim(_FOLDER)
    os.remove(_FOLDER)
