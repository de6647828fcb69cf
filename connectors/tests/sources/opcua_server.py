"""An OPC UA server of asyncua, driven through standard input.

    opcua_server.py PORT DIR [none] [distrust]    prints "listening" when it does

Offers Basic256Sha256 SignAndEncrypt (with "none" also no security) to user "scada", password "secret"; its certificate is DIR/server.der,
made when it is not there. With "distrust" it trusts no client. Variables P1 to P4 of namespace urn:peer, doubles, and T, a text. Each line of
standard input is answered by "done": `value NAME NUMBER`, `aged NAME NUMBER SECONDS`, `status NAME CODE [NUMBER]`. The end of the input ends it.
"""

import asyncio
import datetime
import logging
import sys
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

logging.disable(logging.CRITICAL)
PORT, DIRECTORY, OPTIONS = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
URI = "urn:peer:server"


class Users:
    def get_user(self, iserver, username=None, password=None, certificate=None):
        is_known = (username, password) == ("scada", "secret") or (username is None and "none" in OPTIONS)
        return User(role=UserRole.User) if is_known else None


async def distrust(certificate, application):
    raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


async def main():
    key, certificate = DIRECTORY / "server.pem", DIRECTORY / "server.der"
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    await setup_self_signed_certificate(key, certificate, URI, "127.0.0.1", usages, {"commonName": "peer"})
    server = Server(user_manager=Users())
    await server.init()
    await server.set_application_uri(URI)
    server.set_endpoint(f"opc.tcp://127.0.0.1:{PORT}/peer")
    policies = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt]
    if "none" in OPTIONS:
        policies.append(ua.SecurityPolicyType.NoSecurity)
    server.set_security_policy(policies)
    await server.load_certificate(str(certificate))
    await server.load_private_key(str(key))
    if "distrust" in OPTIONS:
        server.set_certificate_validator(distrust)
    index = await server.register_namespace("urn:peer")
    nodes = {}
    for name, value in [("P1", 230.0), ("P2", 2.5), ("P3", 0.0), ("P4", 7.0), ("T", "text")]:
        nodes[name] = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, value)
    async with server:
        print("listening", flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := (await lines.readline()).decode():
            what, name, *rest = line.split()
            status, source = ua.StatusCodes.Good, now()
            if what == "status":
                status = getattr(ua.StatusCodes, rest[0])
                number = float(rest[1]) if len(rest) > 1 else 0.0
            else:
                number = float(rest[0])
            if what == "aged":
                source -= datetime.timedelta(seconds=float(rest[1]))
            value = ua.DataValue(
                ua.Variant(number, ua.VariantType.Double), StatusCode=ua.StatusCode(status), SourceTimestamp=source
            )
            await server.write_attribute_value(nodes[name].nodeid, value)
            print("done", flush=True)


asyncio.run(main())
