"""Web Bluetooth for a page under test, injected at navigator.bluetooth; the radio is AirPhone's.

Chromium's own emulation (DevTools domain BluetoothEmulation) can push no notifications, and
headless Chromium on Linux has neither that domain for pages nor navigator.bluetooth.
"""

import json
import queue
import time

from airphone import AirPhone
from browser import Browser

_NAMES = 8, 9  # types of what is told, cut or whole
_INJECTED = """
(() => {
  const waiting = [];
  const ask = (...words) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    __ask(JSON.stringify([waiting.length - 1, ...words]));
  });
  const lost = () => new DOMException("GATT Server is disconnected.", "NetworkError");
  let busy = false, answer = null;
  const write = async (value) => {
    if (busy) throw new DOMException("GATT operation already in progress.", "NetworkError");
    if (!device.gatt.connected) throw lost();
    busy = true;
    try {
      await ask("write", [...new Uint8Array(value.buffer ?? value)]);
    } finally {
      busy = false;
    }
  };
  class Characteristic extends EventTarget {
    async startNotifications() { answer = this; return this; }
    writeValueWithResponse(value) { return write(value); }
    writeValueWithoutResponse(value) { return write(value); }
  }
  class Device extends EventTarget {}
  const device = new Device();
  device.gatt = {
    connected: false,
    async connect() {
      if (!await ask("connect")) throw lost();
      this.connected = true;
      return this;
    },
    disconnect() { ask("disconnect"); __radio.gone(); },
    async getPrimaryService(uuid) {
      if (uuid !== "a6f40001-8d3c-4f0a-9b57-2e61c0d7b4a8")
        throw new DOMException("no service", "NotFoundError");
      return { getCharacteristic: async () => new Characteristic() };
    },
  };
  globalThis.__radio = {
    done(id, value) { waiting[id].resolve(value); },
    heard(all) {
      for (const bytes of all) {
        if (!answer) return;
        answer.value = new DataView(Uint8Array.from(bytes).buffer);
        answer.dispatchEvent(new Event("characteristicvaluechanged"));
      }
    },
    gone() {
      if (!device.gatt.connected) return;
      device.gatt.connected = false;
      answer = null;
      device.dispatchEvent(new Event("gattserverdisconnected"));
    },
  };
  Object.defineProperty(navigator, "bluetooth", { value: {
    async requestDevice({ filters: [{ services: [service] }] }) {
      const [name, advertised] = await ask("find");
      if (service !== advertised) throw new DOMException("User cancelled.", "NotFoundError");
      device.name = name;
      return device;
    },
  } });
})();
"""


class WebRadio:
    """Carries between the page in `tab` and the board; `until` waits and lets both talk."""

    def __init__(self, tab: Browser, phone: AirPhone):
        self._tab = tab
        self._phone = phone
        self._heard: queue.Queue[bytes | None] = queue.Queue()
        phone.heard = self._heard.put
        phone.gone = lambda: self._heard.put(None)
        tab.inject(_INJECTED, "__ask", self._asked)
        self._asks: list[list] = []

    def _asked(self, text: str):
        self._asks.append(json.loads(text))

    def until(self, condition: str, within_s: float = 120):
        """Wait until a JavaScript expression is true; returns its value."""
        end = time.monotonic() + within_s
        while True:
            value = self._tab.run(condition)
            self._carry()
            if value:
                return value
            assert time.monotonic() < end, (
                f"{condition} never became true; {self._tab.complaints}, "
                + str(self._tab.run("document.body.innerText.slice(0, 400)"))
            )
            time.sleep(0.005)

    def _carry(self):
        while self._asks:
            number, what, *words = self._asks.pop(0)
            value = json.dumps(self._do(what, *words))
            self._tab.run(f"__radio.done({number}, {value})")
        heard = []
        while not self._heard.empty():
            data = self._heard.get()
            if data is None:
                self._tab.run("__radio.gone()")
            else:
                heard.append(list(data))
        if heard:
            self._tab.run(f"__radio.heard({json.dumps(heard)})")

    def _do(self, what: str, *words):
        if what == "find":
            return self._found()
        if what == "connect":
            return self._phone.connect()
        if what == "write":
            self._phone.write(bytes(words[0]))
        elif what == "disconnect":
            self._phone.disconnect()
        return True

    def _found(self) -> tuple[str, str]:
        """Return what the board calls itself, and the service that it tells."""
        answer, at, name, service = self._phone.wait(), 0, "", ""
        while at < len(answer):
            kind, content = answer[at + 1], answer[at + 2 : at + 1 + answer[at]]
            if kind in _NAMES:
                name = content.decode()
            elif kind == 7:
                h = content[::-1].hex()
                service = "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))
            at += 1 + answer[at]
        return name, service
