"""A plugin with a syntax error."""

return 1  # noqa: F706
