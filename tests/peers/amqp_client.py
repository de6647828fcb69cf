"""A client of the service platform over AMQP: asks as the platform's public samples do, one line of JSON in, one out.

    amqp_client.py PORT USER PASSWORD

    {"ask": {...}, "id": 7}            sends a service and waits for the reply to it
    {"ask": {...}, "id": 7, "named": false}   the same without saying which user sends it
    {"post": [[7, {...}], ...]}        sends services and does not wait: {"posted": n, "left": those that nobody was given yet}
    {"collect": [7, 8]}                waits until all of these were replied to: {"replies": {id: status}, "repeated": n}
    {"raw": "text"}                    sends a body and waits for a reply: the reply, or null after some seconds
"""

import asyncio
import json
import sys

import aio_pika

PORT, USER, PASSWORD = int(sys.argv[1]), sys.argv[2], sys.argv[3]
REQUESTS, ANSWERS = "requests", "answers"


def request(service, number):
    requestor = {"replyTo": ANSWERS, "clientID": "sample", "transient": False, "correlationID": number}
    return {"serviceRequest": {"service": service, "requestor": requestor}}


async def main():
    connection = await aio_pika.connect(host="127.0.0.1", port=PORT, login=USER, password=PASSWORD)
    channel = await connection.channel(publisher_confirms=True)
    await channel.declare_queue(REQUESTS, durable=True)
    answers = await channel.declare_queue(ANSWERS, durable=True)
    arrived = asyncio.Queue()

    async def take(message):
        async with message.process():
            await arrived.put(json.loads(message.body))

    listening = await answers.consume(take)

    async def send(body, named=True):
        message = aio_pika.Message(
            body.encode(), delivery_mode=2, user_id=USER if named else None, reply_to=ANSWERS, correlation_id="amqp-1"
        )
        await channel.default_exchange.publish(message, routing_key=REQUESTS)

    def number(reply):
        return reply["serviceResponse"]["requestor"].get("correlationID")

    print("connected", flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if "ask" in order:
            await send(json.dumps(request(order["ask"], order["id"])), order.get("named", True))
            reply = await asyncio.wait_for(arrived.get(), 60)
            while number(reply) != order["id"]:
                reply = await asyncio.wait_for(arrived.get(), 60)
        elif "post" in order:
            # Replies stay in the queue for whoever comes next.
            await answers.cancel(listening)
            await asyncio.gather(*(send(json.dumps(request(service, one))) for one, service in order["post"]))
            left = await channel.declare_queue(REQUESTS, passive=True)
            reply = {"posted": len(order["post"]), "left": left.declaration_result.message_count}
        elif "collect" in order:
            replies, repeated = {}, 0
            while not set(order["collect"]) <= set(replies):
                one = await asyncio.wait_for(arrived.get(), 60)
                repeated += number(one) in replies
                replies[number(one)] = one["serviceResponse"]["service"]["status"]
            reply = {"replies": replies, "repeated": repeated}
        else:
            await send(order["raw"])
            try:
                reply = await asyncio.wait_for(arrived.get(), 10)
            except asyncio.TimeoutError:
                reply = None
        print(json.dumps(reply), flush=True)


asyncio.run(main())
