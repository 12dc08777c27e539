# Start of the board: a moment in which Ctrl-C reaches the REPL before main.py runs
import time

_ESCAPE_MS = 1500

try:
    import esp

    esp.osdebug(None)  # else the system prints lines for every display that is not there
except ImportError:
    pass  # not an ESP32

print("batmon-mp: press Ctrl-C now for the REPL")
time.sleep_ms(_ESCAPE_MS)
