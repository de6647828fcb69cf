"""A station of c104 (lib60870), driven through standard input.

    iec104_server.py PORT SECONDS [DIR]        prints "listening" when it does

With DIR it listens with TLS 1.3 only: DIR holds server.pem, server.key and ca.pem, and clients need a certificate of that authority. Common
address 7, points named after their types below, which all hold 0 since SECONDS after 1970. Each line of standard input is answered by "done":
`value NAME NUMBER [AGE_S] [QUALITY...]` sets a value and reports it as a spontaneous change, with a time tag AGE_S ago where the type has one;
QUALITY are names of bits, such as Invalid; `set NAME NUMBER [QUALITY...]` sets it without a report. `now SECONDS` is what the tags go by from
then on. `clients` answers how many clients receive data. The end of the input ends it.
"""

import datetime
import sys
from pathlib import Path

import c104

T = c104.Type
POINTS = {
    "ME_NC": (4001, T.M_ME_NC_1),
    "ME_TF": (4002, T.M_ME_TF_1),
    "ME_NB": (4003, T.M_ME_NB_1),
    "ME_TE": (4004, T.M_ME_TE_1),
    "ME_NA": (4005, T.M_ME_NA_1),
    "ME_TD": (4006, T.M_ME_TD_1),
    "SP_NA": (4007, T.M_SP_NA_1),
    "SP_TB": (4008, T.M_SP_TB_1),
    "DP_NA": (4009, T.M_DP_NA_1),
    "DP_TB": (4010, T.M_DP_TB_1),
    "IT_NA": (4011, T.M_IT_NA_1),
    "IT_TB": (4012, T.M_IT_TB_1),
    "BO_NA": (4013, T.M_BO_NA_1),
}
TAGGED = {"ME_TF", "ME_TE", "ME_TD", "SP_TB", "DP_TB", "IT_TB"}


def information(name, number, quality, at):
    bits = c104.BinaryCounterQuality() if name[:2] == "IT" else c104.Quality()
    for bit in quality:
        bits = bits | getattr(type(bits), bit)
    more = {"quality": bits, "recorded_at": at}
    match name:
        case "ME_NC" | "ME_TF":
            return c104.ShortInfo(actual=number, **more)
        case "ME_NB" | "ME_TE":
            return c104.ScaledInfo(actual=c104.Int16(int(number)), **more)
        case "ME_NA" | "ME_TD":
            return c104.NormalizedInfo(actual=c104.NormalizedFloat(number), **more)
        case "SP_NA" | "SP_TB":
            return c104.SingleInfo(on=bool(number), **more)
        case "DP_NA" | "DP_TB":
            return c104.DoubleInfo(state=[c104.Double.OFF, c104.Double.ON, c104.Double.INTERMEDIATE][int(number)], **more)
        case "IT_NA" | "IT_TB":
            return c104.BinaryCounterInfo(counter=int(number), sequence=c104.UInt5(0), **more)
        case "BO_NA":
            return c104.BinaryInfo(blob=c104.Byte32(int(number)), **more)


def security(directory):
    security = c104.TransportSecurity(validate=True, only_known=False)
    security.set_certificate(cert=str(directory / "server.pem"), key=str(directory / "server.key"))
    security.set_ca_certificate(cert=str(directory / "ca.pem"))
    security.set_version(min=c104.TlsVersion.TLS_1_3, max=c104.TlsVersion.TLS_1_3)
    return security


def main():
    more = {"transport_security": security(Path(sys.argv[3]))} if len(sys.argv) > 3 else {}
    server = c104.Server(ip="127.0.0.1", port=int(sys.argv[1]), tick_rate_ms=50, **more)
    station = server.add_station(common_address=7)
    points = {name: station.add_point(io_address=ioa, type=kind) for name, (ioa, kind) in POINTS.items()}
    now = datetime.datetime.fromtimestamp(float(sys.argv[2]), datetime.timezone.utc)
    for name, point in points.items():
        point.info = information(name, 0.0, [], now if name in TAGGED else None)
    server.start()
    print("listening", flush=True)
    for line in sys.stdin:
        what, name, *rest = line.split() + [""]
        if what == "clients":
            print(server.active_connection_count, flush=True)
            continue
        if what == "now":
            now = datetime.datetime.fromtimestamp(float(name), datetime.timezone.utc)
            print("done", flush=True)
            continue
        number, *rest = [word for word in rest if word]
        age = float(rest.pop(0)) if rest and what == "value" else 0.0
        at = now - datetime.timedelta(seconds=age)
        points[name].info = information(name, float(number), rest, at if name in TAGGED else None)
        if what == "value":
            points[name].transmit(cause=c104.Cot.SPONTANEOUS)
        print("done", flush=True)
    server.stop()


main()
