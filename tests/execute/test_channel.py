"""Messages arrive whole and in order, and nobody waits for the rest of one."""

from __future__ import annotations

import os
import pickle
import socket
import struct

import pytest

from bench_core.execute.channel import Channel


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    yield Channel(ours), theirs
    ours.close()
    theirs.close()


def packed(message: object) -> bytes:
    content = pickle.dumps(message)
    return struct.pack("!Q", len(content)) + content


def test_messages_arrive_in_order(ends):
    ours, theirs = ends
    other = Channel(theirs)
    for message in ("a", {"b": 1}, None):
        other.send(message)
    assert list(ours.arrived()) == ["a", {"b": 1}, None]
    ours.send([1, 2])
    assert other.receive() == [1, 2]


def test_a_message_of_which_half_is_there_is_not_waited_for(ends):
    ours, theirs = ends
    content = packed("x" * 100_000)
    theirs.sendall(packed("first") + content[:50_000])
    assert list(ours.arrived()) == ["first"]  # and it returns at all: the sender may be stopped
    theirs.sendall(content[50_000:])
    assert list(ours.arrived()) == ["x" * 100_000]


def test_what_was_sent_before_the_end_still_arrives(ends):
    ours, theirs = ends
    theirs.sendall(packed("rows"))
    theirs.close()
    messages = ours.arrived()
    assert next(messages) == "rows"
    with pytest.raises(EOFError):
        next(messages)


def test_sending_to_somebody_who_does_not_read_ends(ends):
    ours, _ = ends
    with pytest.raises(TimeoutError):
        ours.send(bytes(10_000_000), within=0.1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_copy_ends_before_it_sends(ends):
    ours, theirs = ends
    other = Channel(theirs)
    pid = os.fork()
    if pid == 0:
        try:
            other.send("from the copy")
        finally:
            os._exit(9)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    other.send("from the owner")
    assert list(ours.arrived()) == ["from the owner"]
