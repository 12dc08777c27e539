"""Runs in Home Assistant's own environment, see host/homeassistant.sh; CPython 3.13.

homeassistant_real.py serve FOLDER PORT UNIQUE_ID...: a Home Assistant without its pages, that knows
sensors of these unique ids; prints an access token. homeassistant_real.py check: reads discovery
messages from stdin, a JSON list [topic, text] a line; prints what Home Assistant makes of each.
"""

import asyncio
import datetime
import json
import sys

from homeassistant import bootstrap, config_entries, core, loader
from homeassistant.auth import auth_manager_from_config
from homeassistant.auth.models import TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN
from homeassistant.setup import async_setup_component


async def serve(folder: str, port: str, *unique_ids: str):
    hass = core.HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth_manager_from_config(hass, [{"type": "homeassistant"}], [])
    from homeassistant.helpers import recorder

    recorder.async_initialize_recorder(hass)
    config = {
        "http": {"server_host": "127.0.0.1", "server_port": int(port)},
        "recorder": {"db_url": f"sqlite:///{folder}/statistics.db"},
    }
    for name in ("http", "auth", "websocket_api", "recorder"):
        assert await async_setup_component(hass, name, config), name
    from homeassistant.components.config import entity_registry

    entity_registry.async_setup(hass)
    from homeassistant.helpers import entity_registry as registry

    for unique_id in unique_ids:
        registry.async_get(hass).async_get_or_create("sensor", "mqtt", unique_id)
    await hass.async_start()
    user = await hass.auth.async_create_user("batmon", group_ids=["system-admin"])
    token = await hass.auth.async_create_refresh_token(
        user,
        client_name="batmon",
        token_type=TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN,
        access_token_expiration=datetime.timedelta(days=1),
    )
    print("token", hass.auth.async_create_access_token(token), flush=True)
    await asyncio.Event().wait()


async def check():
    hass = core.HomeAssistant(".")
    bootstrap.frame.async_setup(hass)  # the schema of templates wants to know whose they are
    from homeassistant.components.mqtt import binary_sensor, discovery, sensor

    schemas = {"sensor": sensor.DISCOVERY_SCHEMA, "binary_sensor": binary_sensor.DISCOVERY_SCHEMA}
    for line in sys.stdin:
        topic, text = json.loads(line)
        payload = discovery.MQTTDiscoveryPayload(json.loads(text))
        discovery._replace_all_abbreviations(payload)
        discovery._replace_topic_base(payload)
        taken = schemas[topic.split("/")[1]](payload)
        lost = sorted(payload.keys() - taken.keys())  # what it does not know it leaves out
        told = {key: str(taken[key]) for key in ("unique_id", "state_topic", "name")}
        print(json.dumps(told | {"lost": lost}))


if sys.argv[1] == "serve":
    asyncio.run(serve(*sys.argv[2:]))
else:
    asyncio.run(check())
