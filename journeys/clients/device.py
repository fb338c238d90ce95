"""A device on Azure's official Python SDK: provisions through DPS, then lives at its hub for a moment.

Prints one JSON object: what became of it. The CONNECT proxy stands in for a network that leads to the emulator; the SDK
knows nothing but Azure's own host names.
"""

import asyncio
import json
import sys

import socks
from azure.iot.device import X509, Message, ProxyOptions
from azure.iot.device.aio import IoTHubDeviceClient, ProvisioningDeviceClient


async def main(id_scope, registration_id, certificate, key, root, proxy_port):
    with open(root, encoding="ascii") as file:
        trusted = file.read()
    x509 = X509(certificate, key)
    options = {
        "server_verification_cert": trusted,
        "proxy_options": ProxyOptions(socks.HTTP, "127.0.0.1", int(proxy_port)),
    }
    dps = ProvisioningDeviceClient.create_from_x509_certificate(
        "global.azure-devices-provisioning.net", registration_id, id_scope, x509, **options
    )
    try:
        registered = await dps.register()
    except Exception as refused:  # whatever the SDK makes of it is what we want to see
        cause = refused.__cause__ or refused
        return {"status": "refused", "error": f"{type(cause).__name__}: {cause}"}
    if registered.status != "assigned":
        return {"status": registered.status}
    state = registered.registration_state
    hub = IoTHubDeviceClient.create_from_x509_certificate(x509, state.assigned_hub, state.device_id, **options)
    await hub.connect()
    message = Message(json.dumps({"temperature": 21.5}), content_encoding="utf-8", content_type="application/json")
    message.custom_properties["from"] = "python sdk"
    await hub.send_message(message)
    twin = await hub.get_twin()
    await hub.patch_twin_reported_properties({"seen": twin["desired"].get("label")})
    await hub.shutdown()
    return {"status": "assigned", "hub": state.assigned_hub, "device": state.device_id, "twin": twin}


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
