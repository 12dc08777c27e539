"""The page of `batmon web`: shards by Bluetooth or from files, and their report, in a folder."""

import hashlib
import json

from batmon.web import report, tables

# What reads shards knows no page.
READING = (
    "bits.js", "halves.js", "model.js", "version3.js", "crc.js", "shards.js", "timeline.js",
    "happened.js", "log.js", "csv.js", "lifetime.js",
)  # fmt: skip
_PAGE = "zip.js", "phone-link.js", "kept.js", "dial.js", "complaints.js", "phone-page.js"
_MANIFEST = {
    "name": "batmon",
    "short_name": "batmon",
    "description": "Battery logs by Bluetooth and from files",
    "start_url": "./",
    "display": "standalone",
    "background_color": "#f6f8fa",
    "theme_color": "#1769aa",
    "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}],
}


def reading() -> str:
    """Return the scripts that make logs of shard files."""
    return tables.script() + "".join(map(report.script, READING))


def files() -> dict[str, str]:
    """Return the files of the page by name."""
    scripts = reading() + "".join(map(report.script, (*report.COUNTING, *report.SHOWING, *_PAGE)))
    style = report.script("phone.css")
    page = report.filled("phone.html", **{"phone-style": style, "script": scripts})
    version = hashlib.sha256(page.encode()).hexdigest()[:16]
    return {
        "index.html": page,
        "manifest.webmanifest": json.dumps(_MANIFEST, indent=1),
        "icon.svg": report.script("icon.svg"),
        "worker.js": report.script("worker.js").replace("{{version}}", version),
    }
