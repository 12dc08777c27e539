# Sentences to lines for the display; loaded when a sentence is new
# A page of it is to say something: the last line is no mere rest.


def wrap(words, cols):
    # lines of whole words; what is longer than the glass is broken, what it lacks is a "?"
    lines = []
    for sentence in words.split("\n"):
        line = b""
        first = len(lines)
        for word in sentence.split():
            word = bytes(ord(c) if " " < c < "~" else 0x3F for c in word)
            if line and len(line) + 1 + len(word) <= cols:
                line += b" " + word
                continue
            if line:
                lines.append(line)
            while len(word) > cols:
                lines.append(word[:cols])
                word = word[cols:]
            line = word
        if line:
            # a rest such as "4 s" takes words along, or its page would say nothing
            while len(lines) > first and 3 * len(line) < 2 * cols:
                before, space, word = lines[-1].rpartition(b" ")
                if not space or len(word) + 1 + len(line) > cols:
                    break
                lines[-1] = before
                line = word + space + line
            lines.append(line)
    return lines
