#!/usr/bin/env bash
# A graceful shutdown over HTTP/2 begins with GOAWAY, NO_ERROR and the highest stream id: no new streams, but open ones go
# on (RFC 9113, section 6.8). httpx 0.28.1 (httpcore 1.0.9, h2 4.4.1) fails the open stream at once, although its rest
# comes 0.3 s later. If a PING is in the same packet, as hyper sends it, the error isn't even one of httpx: h2's
# ProtocolError, which `except httpx.HTTPError` doesn't catch. The same server without GOAWAY: the whole body.
# Seen on 1 December 2026.
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --target packages httpx==0.28.1 httpcore==1.0.9 h2==4.4.1 hpack==4.2.0 hyperframe==6.1.0
cat >probe.py <<'PYTHON'
import socket, sys, threading, time
import httpx
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame


def read(peer, count):
    data = b""
    while len(data) < count:
        piece = peer.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data

def serve(peer):
    read(peer, 24)  # the preface
    peer.sendall(SettingsFrame(0).serialize())
    asked = False
    try:
        while True:
            frame, length = Frame.parse_frame_header(memoryview(read(peer, 9)))
            read(peer, length)
            if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                peer.sendall(SettingsFrame(0, flags=["ACK"]).serialize())
            if isinstance(frame, HeadersFrame) and not asked:
                asked = True
                head = HeadersFrame(1, flags=["END_HEADERS"])
                head.data = Encoder().encode([(":status", "200")])
                peer.sendall(head.serialize() + DataFrame(1, b"one ").serialize())
                time.sleep(0.3)
                # A graceful shutdown (RFC 9113, section 6.8): no new streams, but this one goes on.
                goaway = GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=0).serialize()
                ping = PingFrame(0, b"shutdown").serialize()
                peer.sendall({"none": b"", "goaway": goaway, "ping": goaway + ping}[sys.argv[1]])
                time.sleep(0.3)
                peer.sendall(DataFrame(1, b"two", flags=["END_STREAM"]).serialize())
    except (EOFError, OSError):
        pass

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: serve(listener.accept()[0]), daemon=True).start()
url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
with httpx.Client(http1=False, http2=True) as client:
    try:
        print(sys.argv[1] + ", whole:", client.get(url).text)
    except httpx.HTTPError as error:
        print(sys.argv[1] + ", httpx:", type(error).__name__, error)
    except Exception as error:
        print(sys.argv[1] + ", other:", type(error).__module__, type(error).__name__, error)
PYTHON
for what in none goaway ping; do
    PYTHONPATH=packages python3 probe.py "$what" | tee --append output
done
diff output - <<'EXPECTED'
none, whole: one two
goaway, httpx: RemoteProtocolError <ConnectionTerminated error_code:0, last_stream_id:2147483647, additional_data:None>
ping, other: h2.exceptions ProtocolError Invalid input ConnectionInputs.RECV_PING in state ConnectionState.CLOSED
EXPECTED
