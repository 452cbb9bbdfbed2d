#!/usr/bin/env bash
# The `fetch` of Node 26.10.0 speaks HTTP/2 over TLS by itself, and takes a body whose stream the server resets with CANCEL or
# NO_ERROR for complete: `text()` resolves with the half that came. After INTERNAL_ERROR, it rejects. RFC 9113, section 8.1, lets
# a response end only by the flag END_STREAM, and none of these streams had it.
# Seen on 1 December 2026, for resets with NO_ERROR, INTERNAL_ERROR and CANCEL: "half", rejected, "half".
set -euo pipefail

folder=$(mktemp --directory)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
# Its script puts the program in place.
npm install --silent --no-audit --no-fund --prefix . node@26.10.0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout site.key -out site.crt 2>/dev/null
python3 -m pip install --quiet --disable-pip-version-check --no-warn-script-location --target packages h2==4.3.0 2>/dev/null
cat >server.py <<'END'
import socket
import ssl
import time

import h2.config
import h2.connection
import h2.events

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("site.crt", "site.key")
context.set_alpn_protocols(["h2"])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    stream = context.wrap_socket(listener.accept()[0], server_side=True)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    stream.sendall(connection.data_to_send())
    while data := stream.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                path = dict(event.headers)[b":path"].decode()
                connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/plain")])
                connection.send_data(event.stream_id, b"half")
                stream.sendall(connection.data_to_send())
                time.sleep(0.2)  # the half has arrived before the reset
                connection.reset_stream(event.stream_id, int(path[1:]))
        stream.sendall(connection.data_to_send())
END
cat >main.mjs <<'END'
for (const [code, name] of [[0, "NO_ERROR"], [2, "INTERNAL_ERROR"], [8, "CANCEL"]]) {
  const response = await fetch(`https://localhost:${process.argv[2]}/${code}`);
  const end = await response.text().then(text => JSON.stringify(text), () => "rejected");
  console.log(`${name}: ${end}`);
}
process.exit();
END
PYTHONPATH=packages python3 server.py >port &
server=$!
until [ -s port ]; do sleep 0.1; done
NODE_EXTRA_CA_CERTS=site.crt timeout 60 node_modules/node/bin/node main.mjs "$(cat port)" | tee output
printf 'NO_ERROR: "half"\nINTERNAL_ERROR: rejected\nCANCEL: "half"\n' | cmp - output
