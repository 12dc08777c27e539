# A link that looks at a BMS at rest: the log knows it as found, and is told of it only if it stays
# Loaded when the board wakes from such a sleep.


def of(link_class):
    """Return a BmsLink, made of `link_class`, that says nothing until `stay`.

    `on_first`, if not None, is called with the first sample before anybody else has it.
    """

    class Resting(link_class):
        on_first = None
        quiet = True

        async def __anext__(self):
            sample = await super().__anext__()
            first, self.on_first = self.on_first, None
            if first:
                first(sample)
            return sample

        def stay(self):
            self.quiet = False
            self._say(self.text, self.connected)

        def _say(self, text, connected=None):
            if not self.quiet:
                super()._say(text, connected)
                return
            self.text = text
            if connected is not None:
                self.connected = connected

    return Resting
