#!/bin/sh
# Installs batmon on an ESP32 at a USB port: ./install.sh [PORT] [options]; --help lists them
here=$(dirname "$0")
sh "$here/host/venv.sh" base || exit 1
exec "$here/.venv/bin/python" -m batmon install "$@"
