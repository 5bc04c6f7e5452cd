"""Published claims as executable assertions: what a suite may state, and what results say about it.

``forms`` lies upstream of ``suite``, which holds claims; ``judging`` lies downstream of ``summary``, which holds
verdicts. So nothing is imported here.
"""
