"""A plugin with a misspelt hook."""

from bench_core import Method, hookimpl


@hookimpl
def bench_register_method() -> list[type[Method]]:
    return []
