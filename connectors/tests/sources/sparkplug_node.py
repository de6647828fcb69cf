"""An edge node of Sparkplug B: paho-mqtt, and payloads packed by google.protobuf from the published message definition.

    sparkplug_node.py PORT GROUP NODE      prints "listening" when the broker has accepted it

Each line of standard input is a JSON object and is answered by a line. `{"send": "NBIRTH", "device": ..., "metrics": [...]}` publishes a
message and is answered by "done"; `time` and `seq` replace now and the number that is due, `raw` (hexadecimal) the payload. A metric has
`name`, `alias`, `type` and `value`, and may have `time`, `null`, `historical`, `quality`. `{"command": 1}` waits for a command and is
answered by its metrics; `{"break": 1}` breaks the connection, so that the broker tells the death, `{"connect": birth}` begins a new one.
"""

import json
import queue
import sys
import time

import paho.mqtt.client as mqtt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

UINT32, UINT64, STRING, BOOL, FLOAT, DOUBLE, BYTES, MESSAGE = 13, 4, 9, 8, 2, 1, 12, 11
TYPES = {name: number for number, name in enumerate(
    "Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float Double Boolean String DateTime Text".split(), 1)}


def definition():
    """sparkplug_b.proto of Eclipse Tahu, as far as it is used here."""
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="org.eclipse.tahu.protobuf", syntax="proto2")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        if any("value" in field for field in fields):
            made.oneof_decl.add(name="value")
        for number, field, kind, *more in fields:
            added = made.field.add(name=field, number=number, type=kind, label=3 if "many" in more else 1)
            if kind == MESSAGE:
                added.type_name = ".org.eclipse.tahu.protobuf." + more[0]
            if "value" in more:
                added.oneof_index = 0

    values = [("int_value", UINT32), ("long_value", UINT64), ("float_value", FLOAT), ("double_value", DOUBLE),
              ("boolean_value", BOOL), ("string_value", STRING)]
    message("PropertyValue", (1, "type", UINT32), (2, "is_null", BOOL),
            *[(number, name, kind, "value") for number, (name, kind) in enumerate(values, 3)])
    message("PropertySet", (1, "keys", STRING, "many"), (2, "values", MESSAGE, "PropertyValue", "many"))
    message("Metric", (1, "name", STRING), (2, "alias", UINT64), (3, "timestamp", UINT64), (4, "datatype", UINT32),
            (5, "is_historical", BOOL), (6, "is_transient", BOOL), (7, "is_null", BOOL),
            (9, "properties", MESSAGE, "PropertySet"),
            *[(number, name, kind, "value") for number, (name, kind) in enumerate(values, 10)],
            (16, "bytes_value", BYTES, "value"))
    message("Payload", (1, "timestamp", UINT64), (2, "metrics", MESSAGE, "Metric", "many"), (3, "seq", UINT64),
            (4, "uuid", STRING), (5, "body", BYTES))
    return file


def message_class():
    pool = descriptor_pool.DescriptorPool()
    pool.Add(definition())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("org.eclipse.tahu.protobuf.Payload"))


Payload = message_class()


def fill(metric, given):
    for key, field in {"name": "name", "alias": "alias", "time": "timestamp", "null": "is_null", "historical": "is_historical"}.items():
        if key in given:
            setattr(metric, field, given[key])
    if "quality" in given:
        metric.properties.keys.append("Quality")
        metric.properties.values.add(type=TYPES["Int32"], int_value=given["quality"])
    kind, value = given.get("type"), given.get("value")
    if kind and not given.get("untyped"):
        metric.datatype = TYPES[kind]
    if value is None:
        return
    if kind in ("Float", "Double", "Boolean", "String"):
        setattr(metric, kind.lower() + "_value", value)
    elif kind in ("Int64", "UInt64", "DateTime"):
        metric.long_value = value & (1 << 64) - 1
    else:
        metric.int_value = value & (1 << 32) - 1


class Node:
    def __init__(self, port, group, name):
        self.port, self.group, self.name, self.seq, self.commands = port, group, name, 0, queue.Queue()

    def topic(self, kind, device=None):
        return "/".join(["spBv1.0", self.group, kind, self.name] + ([device] if device else []))

    def connect(self, birth):
        self.accepted = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=self.name)
        death = Payload()
        death.metrics.add(name="bdSeq", datatype=TYPES["UInt64"], long_value=birth)
        self.client.will_set(self.topic("NDEATH"), death.SerializeToString(), qos=1)
        self.client.on_connect = lambda client, *_: client.subscribe(self.topic("NCMD"), 1)
        self.client.on_subscribe = lambda *_: self.accepted.put(True)
        self.client.on_message = lambda client, _, message: self.commands.put(message.payload)
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        self.accepted.get(timeout=20)

    def send(self, given):
        payload = Payload(timestamp=given.get("time", int(time.time() * 1000)))
        kind = given["send"]
        if kind == "NBIRTH":
            self.seq = 0
        if kind != "NDEATH":
            payload.seq = given.get("seq", self.seq)
            self.seq = (self.seq + 1) % 256
        for metric in given.get("metrics", []):
            fill(payload.metrics.add(), metric)
        raw = bytes.fromhex(given["raw"]) if "raw" in given else payload.SerializeToString()
        self.client.publish(self.topic(kind, given.get("device")), raw, qos=0, retain=given.get("retain", False)).wait_for_publish(20)

    def take(self, given):
        if "send" in given:
            self.send(given)
        elif "command" in given:
            payload = Payload.FromString(self.commands.get(timeout=30))
            return json.dumps([[metric.name, metric.boolean_value] for metric in payload.metrics])
        elif "break" in given:
            self.client.loop_stop()
            self.client.socket().shutdown(2)
        elif "connect" in given:
            self.connect(given["connect"])
        return "done"


def main():
    node = Node(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    node.connect(0)
    print("listening", flush=True)
    for line in sys.stdin:
        print(node.take(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
