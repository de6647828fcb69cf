"""An OPC UA client of asyncua, driven through standard input.

    opcua_client.py PORT DIR [plain] [USER PASSWORD]

Connects with Basic256Sha256 SignAndEncrypt, or without protection; its certificate is DIR/client.der, made when it is not there; the server's is
taken as it is shown. Prints "connected", or "refused" and why. Each line of standard input is answered by one line: `read ID` (value, status,
source timestamp in seconds), `browse ID` (names), `property ID NAME`, `write ID NUMBER`, `watch ID` (subscribes), `next` (the next change of what
is watched). ID is that of a string node in namespace urn:gridflex:published.
"""

import asyncio
import datetime
import logging
import sys
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

logging.disable(logging.CRITICAL)
PORT, DIRECTORY = int(sys.argv[1]), Path(sys.argv[2])
PLAIN, USER = "plain" in sys.argv, [word for word in sys.argv[3:] if word != "plain"]
URI = "urn:peer:client"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def words(data):
    if data.SourceTimestamp is None:
        return f"{data.Value and data.Value.Value} {data.StatusCode.name}"
    at = data.SourceTimestamp.replace(tzinfo=datetime.timezone.utc)
    return f"{data.Value and data.Value.Value} {data.StatusCode.name} {(at - EPOCH).total_seconds():.3f}"


class Watcher:
    def __init__(self):
        self.heard = asyncio.Queue()

    def datachange_notification(self, node, value, data):
        self.heard.put_nowait(f"{node.nodeid.Identifier} {words(data.monitored_item.Value)}")


async def answer(client, index, watcher, line):
    what, *rest = line.split()
    if what == "next":
        return await asyncio.wait_for(watcher.heard.get(), 20)
    node = client.get_node(ua.NodeId(rest[0], index)) if rest[0] != "objects" else client.nodes.objects
    match what:
        case "read":
            return words(await node.read_data_value(raise_on_bad_status=False))
        case "browse":
            return " ".join(sorted([(await child.read_browse_name()).Name.replace(" ", "_") for child in await node.get_children()]))
        case "property":
            return str(await (await node.get_child(f"0:{rest[1]}")).read_value()).replace("\n", " ")
        case "write":
            await node.write_value(float(rest[1]))
            return "written"
        case "watch":
            subscription = await client.create_subscription(100, watcher)
            await subscription.subscribe_data_change(node)
            return "watching"


async def main():
    client = Client(f"opc.tcp://127.0.0.1:{PORT}/", timeout=10)
    client.application_uri = URI
    try:
        if USER:
            client.set_user(USER[0])
            client.set_password(USER[1])
        if not PLAIN:
            key, certificate = DIRECTORY / "client.pem", DIRECTORY / "client.der"
            usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
            await setup_self_signed_certificate(key, certificate, URI, "127.0.0.1", usages, {"commonName": "peer"})
            await client.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key))
        await client.connect()
    except Exception as error:
        print("refused", type(error).__name__, str(error).replace("\n", " "), flush=True)
        return
    index = await client.get_namespace_index("urn:gridflex:published")
    print("connected", flush=True)
    lines, watcher = asyncio.StreamReader(), Watcher()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode():
        try:
            print(await answer(client, index, watcher, line), flush=True)
        except Exception as error:
            print("error", type(error).__name__, str(error).replace("\n", " "), flush=True)
    await client.disconnect()


asyncio.run(main())
