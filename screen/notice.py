# A few words on the display before, or instead of, the app: loaded for that only
import asyncio
import sys


class Notice:
    """The display that the settings `want` describe. Nothing here raises: it may not be there."""

    def __init__(self, want):
        self._lcd = None
        try:
            from screen import panel

            if want["lcd.fitted"]:
                lcd = panel.make(want)
                asyncio.run(lcd.start())
                self._lcd = lcd
        except Exception as exc:  # the display's part may be what fails
            sys.print_exception(exc)

    def show(self, *lines):
        """Show one or two lines of at most 16 characters."""
        try:
            if self._lcd:
                self._lcd.show(lines)
        except Exception as exc:
            sys.print_exception(exc)
            self._lcd = None
