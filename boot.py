# Start of the board, before main.py and before mpremote: quiet the system, finish an update
try:
    import esp

    esp.osdebug(None)  # else the system prints lines for every display that is not there
except ImportError:
    pass  # not an ESP32

try:
    with open("/update.txt"):
        from app import update

    update.finish()
except (OSError, ImportError):
    pass  # there is none, nearly always
