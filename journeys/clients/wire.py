"""A wire with weather between two network interfaces: what goes in at one end comes out at the other late, slowly, or not.

Takes the two interfaces and the seed of chance. A line of JSON on standard input is the weather from then on, the same
in both directions: delay and jitter in milliseconds, rate in bits a second (0 for any), loss in percent. Each line is
answered with the frames that were carried and lost since the one before.
"""

import heapq
import json
import os
import random
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL = 263, 15, 3
LONGEST_FRAME = 70000


class Wire:
    def __init__(self, ends, seed):
        self.ends = ends
        self.dice = random.Random(seed)
        self.weather = {"delay": 0, "jitter": 0, "rate": 0, "loss": 0}
        self.told = {"carried": 0, "lost": 0}
        # By direction: when all is sent that was taken, and when the last of it arrives. Nothing overtakes.
        self.sent, self.arrived = [0.0, 0.0], [0.0, 0.0]
        self.under_way, self.number = [], 0

    def bend(self, weather):
        told, self.told = self.told, {"carried": 0, "lost": 0}
        self.weather = weather
        return told

    def take(self, direction):
        frame, (_, _, kind, _, _) = self.ends[direction].recvfrom(LONGEST_FRAME)
        if kind == socket.PACKET_OUTGOING:
            return
        if self.dice.random() * 100 < self.weather["loss"]:
            self.told["lost"] += 1
            return
        self.told["carried"] += 1
        sent = max(self.sent[direction], time.monotonic())
        if self.weather["rate"]:
            sent += len(frame) * 8 / self.weather["rate"]
        late = self.weather["delay"] + self.dice.uniform(-1, 1) * self.weather["jitter"]
        self.sent[direction] = sent
        self.arrived[direction] = max(self.arrived[direction], sent + late / 1000)
        self.number += 1
        heapq.heappush(self.under_way, (self.arrived[direction], self.number, 1 - direction, frame))

    def deliver(self):
        """Hands over what has arrived; returns the time until the next frame does."""
        while self.under_way:
            wait = self.under_way[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, end, frame = heapq.heappop(self.under_way)
            try:
                self.ends[end].send(frame)
            except OSError:
                # Nobody is at that end: lost, as on any wire.
                self.told["lost"] += 1
        return None


def end_at(interface):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    # Frames keep the kernel's own header: a checksum that the sender left to its card is finished beyond the wire.
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.bind((interface, 0))
    return end


def main(near, far, seed):
    wire, words = Wire([end_at(near), end_at(far)], int(seed)), b""
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([*wire.ends, 0], [], [], wire.deliver())
        for direction, end in enumerate(wire.ends):
            if end in readable:
                try:
                    wire.take(direction)
                except OSError:
                    # An interface says once that it went down.
                    pass
        if 0 in readable:
            more = os.read(0, 4096)
            if not more:
                return
            *lines, words = (words + more).split(b"\n")
            for line in lines:
                print(json.dumps(wire.bend(json.loads(line))), flush=True)


main(*sys.argv[1:])
