"""Drivers that take a frame for new again when other bytes come behind it, and what ends that.

Their handler keeps a frame that it took, and looks at no more than the front of what is longer.
"""

import ast

from batmon.drivers.module import Module, Rewriter

DRIVERS = {"eg4_bms", "epoch_pro_bms", "gobel_bms", "jikong_bms", "neey_bms"}
_TOLD = "self._msg_event.set()"
_EMPTY = "self._frame.clear()"


class Emptied(Rewriter):
    """Such a handler empties its buffer once it has taken a frame.

    Not for every driver: some know by the frame in their buffer that the next one may begin.
    """

    @classmethod
    def run(cls, module: Module) -> None:
        """Apply this to the module, if it is one of these drivers."""
        if module.name.rpartition(".")[2] in DRIVERS:
            super().run(module)

    def visit_Expr(self, node: ast.Expr):
        return [ast.parse(_EMPTY).body[0], node] if ast.unparse(node) == _TOLD else node
