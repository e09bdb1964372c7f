"""A bad cable between two network interfaces, for tests: delay, loss, cuts, and resets.

  wire.fixture.py FROM TO DELAY_MS JITTER_MS LOSS SEED   commands on stdin: cut, reset, mend
  wire.fixture.py --offload INTERFACE                    what is sent has its checksum, packet by packet

Frames are read raw from one interface and written to the other. `reset` tears the next TCP connection
that sends something down on both sides, as a router that was restarted does, then cuts.
"""
import fcntl, heapq, random, select, socket, struct, sys, time

def plain(interface):
    """Hardware would compute checksums and cut large packets; here there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in (0x17, 0x1F, 0x24, 0x2C):  # tx checksum, TSO, GSO, GRO off
            import array
            value = array.array('B', struct.pack('II', command, 0))
            try:
                fcntl.ioctl(control, 0x8946, struct.pack('16sP', interface.encode(), value.buffer_info()[0]))
            except OSError:
                pass  # one that this kind of interface does not know

def checksum(data):
    if len(data) % 2:
        data += b'\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def reset(frame):
    """Frames with RST for both ends of the TCP connection of `frame`: (onwards, back); None for others."""
    if frame[12:14] != b'\x08\x00' or frame[23] != 6:
        return None
    at = 14 + (frame[14] & 15) * 4
    source, target = frame[26:30], frame[30:34]
    sport, dport, seq, ack = struct.unpack('!HHII', frame[at:at + 12])
    flags = frame[at + 13]
    if flags & 0b110 or not flags & 0b10000:  # SYN, RST, or nothing acknowledged
        return None
    def packet(ethernet, src, dst, sp, dp, number):
        tcp = struct.pack('!HHIIBBHHH', sp, dp, number, 0, 5 << 4, 4, 0, 0, 0)
        tcp = tcp[:16] + struct.pack('!H', checksum(src + dst + struct.pack('!BBH', 0, 6, len(tcp)) + tcp)) + tcp[18:]
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, src, dst)
        ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
        return ethernet + b'\x08\x00' + ip + tcp
    onwards = packet(frame[0:12], source, target, sport, dport, seq)
    back = packet(frame[6:12] + frame[0:6], target, source, dport, sport, ack)
    return onwards, back

def run(left, right, delay, jitter, loss, seed):
    dice = random.Random(seed)
    ends = []
    for name in (left, right):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.bind((name, 0))
        ends.append(end)
    waiting, count, cut, resetting = [], 0, False, False
    last = [0.0, 0.0]
    print('ready', flush=True)
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select(ends + [sys.stdin], [], [], timeout)
        if sys.stdin in readable:
            command = sys.stdin.readline().strip()
            if not command:
                return
            cut, resetting = command == 'cut', command == 'reset'
            if command == 'cut':
                waiting.clear()
        for index, end in enumerate(ends):
            if end not in readable:
                continue
            frame, address = end.recvfrom(65535)
            if address[2] == 4 or cut:  # our own
                continue
            if resetting and (pair := reset(frame)):
                ends[1 - index].send(pair[0])
                end.send(pair[1])
                cut, resetting = True, False
                waiting.clear()
                continue
            if dice.random() < loss:
                continue
            # A cable does not reorder.
            last[index] = max(last[index], time.monotonic() + (delay + dice.random() * jitter) / 1000)
            count += 1
            heapq.heappush(waiting, (last[index], count, 1 - index, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            try:
                ends[to].send(frame)
            except OSError:
                pass  # larger than the cable's packets

if sys.argv[1] == '--offload':
    plain(sys.argv[2])
else:
    run(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6]), int(sys.argv[6]))
