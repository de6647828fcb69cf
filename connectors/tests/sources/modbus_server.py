"""A Modbus server of pymodbus, driven through standard input.

    modbus_server.py PORT                prints "listening" when it does: Modbus TCP
    modbus_server.py PORT rtu            frames of Modbus RTU over TCP
    modbus_server.py PORT serial DEVICE  Modbus RTU on a serial line, 9600 bits per second, 8N1; PORT is not used

Units 1 and 7; holding and input registers 0 to 199, all others are refused. Each line of standard input
sets registers, `TABLE UNIT ADDRESS VALUE...` with TABLE `holding` or `input`, and is answered by "done". The end of the input ends it.
"""

import asyncio
import sys

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

FUNCTION = {"holding": 16, "input": 4}


def unit(number):
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    registers = [SimData(0, count=200, values=0, datatype=DataType.REGISTERS)]
    return SimDevice(number, (bits, bits, registers, registers))


def make(port, how="tcp", device=None):
    units = [unit(1), unit(7)]
    if how == "serial":
        return ModbusSerialServer(units, port=device, baudrate=9600, parity="N")
    framer = FramerType.RTU if how == "rtu" else FramerType.SOCKET
    return ModbusTcpServer(units, framer=framer, address=("127.0.0.1", int(port)))


async def main():
    server = make(*sys.argv[1:])
    await server.serve_forever(background=True)
    print("listening", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode():
        table, device, address, *values = line.split()
        await server.async_setValues(int(device), FUNCTION[table], int(address), [int(value) for value in values])
        print("done", flush=True)


asyncio.run(main())
