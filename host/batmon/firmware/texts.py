"""Keeps short texts of modules that are loaded for a moment out of the table of names.

MicroPython makes a name of each text of up to ten characters when it loads a module, and keeps it
when the module is gone: its place in the table, too, of which there is a next step. Here all such
texts of a module become slices of one that is longer.
"""

import ast

_LONGEST = 10  # MICROPY_ALLOC_PARSE_INTERN_STRING_LEN


def in_one(text: str) -> str:
    """Return a source that has no short texts; its first line, a comment, gives place to the long
    one."""
    lines = text.split("\n")
    tree = ast.parse(text)
    spots = list(_short(tree))
    if not spots or not lines[0].startswith("#"):
        return text
    whole = ""
    for value in sorted({node.value for node in spots}, key=lambda value: (-len(value), value)):
        whole += "" if value in whole else value
    for node in sorted(spots, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        at = whole.index(node.value)
        code = lines[node.lineno - 1].encode()
        slice_ = b"_texts[%d:%d]" % (at, at + len(node.value))
        code = code[: node.col_offset] + slice_ + code[node.end_col_offset :]
        lines[node.lineno - 1] = code.decode()
    lines[0] = f"_texts = {whole.ljust(_LONGEST + 1)!r}"
    return "\n".join(lines)


def _short(node: ast.AST):
    """Yield the short texts below `node`, but for docstrings and what the compiler has to know."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.JoinedStr) or _is_const(child):
            continue
        is_text = isinstance(child, ast.Constant) and isinstance(child.value, str)
        if is_text and 0 < len(child.value) <= _LONGEST and child.lineno == child.end_lineno:
            yield child
        yield from _short(child)


def _is_const(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "const"
