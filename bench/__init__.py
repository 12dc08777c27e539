"""Measurements. A section is a module of this package with `measure`, named in SECTIONS.

`measure()` returns {row: {metric: number}}; the metric's name says the unit.
"""

SECTIONS = (
    "answers",
    "bytes",
    "codec",
    "codec_cost",
    "drivers",
    "export",
    "heap",
    "lcd",
    "packing",
    "page",
    "sampler",
    "sim",
    "sinks",
    "size",
    "wear",
)
