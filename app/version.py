# Which batmon this is; pyproject.toml and the PC take it from here as the board does
# CHANGELOG.md says what each version brings and asks for.

VERSION = "0.2.0"
