"""What paho-mqtt (Eclipse, in Python) expects of a broker, told to the door at 127.0.0.1:PORT."""

import queue
import sys

import paho.mqtt.client as mqtt

PORT = int(sys.argv[1])
PATIENCE = 20
passed = 0


def client(name, clean=True, will=None):
    c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
    c.heard, c.events = queue.Queue(), queue.Queue()
    c.on_message = lambda _c, _u, m: c.heard.put((m.topic, m.payload.decode(), m.qos, bool(m.retain)))
    c.on_connect = lambda _c, _u, flags, reason, _p: c.events.put(("connected", flags.session_present, reason.value))
    c.on_subscribe = lambda _c, _u, _mid, codes, _p: c.events.put(("subscribed", [code.value for code in codes]))
    c.on_disconnect = lambda _c, _u, _f, reason, _p: c.events.put(("disconnected",))
    if will:
        c.will_set(*will)
    c.connect("127.0.0.1", PORT, keepalive=30)
    c.loop_start()
    return c


def event(c):
    return c.events.get(timeout=PATIENCE)


def subscribed(c, filters):
    c.subscribe(filters)
    return event(c)


def check(name, got, expected):
    global passed
    assert got == expected, f"{name}: {got!r} instead of {expected!r}"
    passed += 1
    print("passed:", name)


def publish(c, topic, payload, qos, retain=False):
    c.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(PATIENCE)


def stop(c):
    c.disconnect()
    c.loop_stop()


sender = client("sender")
check("connect", event(sender), ("connected", False, 0))
device = client("device", clean=False)
event(device)
check("qualities granted", subscribed(device, [("gridflex/p/a", 0), ("gridflex/p/b", 1), ("gridflex/p/c", 2), ("$share/g/x", 1)]),
      ("subscribed", [0, 1, 1, 128]))
for qos in (0, 1, 2):
    publish(sender, "gridflex/p/b", f"q{qos}", qos)
check("three qualities", [device.heard.get(timeout=PATIENCE) for _ in range(3)],
      [("gridflex/p/b", "q0", 0, False), ("gridflex/p/b", "q1", 1, False), ("gridflex/p/b", "q2", 1, False)])
stop(device)
for n in range(50):
    publish(sender, "gridflex/p/b", str(n), 1)
device = client("device", clean=False)
check("session present", event(device), ("connected", True, 0))
check("fifty while away", [device.heard.get(timeout=PATIENCE)[1] for _ in range(50)], [str(n) for n in range(50)])
publish(sender, "gridflex/p/kept", "kept", 1, retain=True)
subscribed(device, [("gridflex/p/kept", 1)])
check("retained", device.heard.get(timeout=PATIENCE), ("gridflex/p/kept", "kept", 1, True))
subscribed(device, [("gridflex/p/will", 1)])
dying = client("dying", will=("gridflex/p/will", "gone", 1, False))
event(dying)
dying.socket().close()
check("will", device.heard.get(timeout=PATIENCE), ("gridflex/p/will", "gone", 1, False))
stop(device)
stop(sender)
print(f"{passed} of 7 passed")
