<?php
// PHP's own HTTP client. With `set`, it reads each byte as it comes, and waits longer.
$url = end($argv);
$options = ["header" => "Accept: text/event-stream\r\n"];
$stream = fopen($url, "r", false, stream_context_create(["http" => $options]));
if ($stream === false) exit(1);
if ($argv[1] === "set") {
    stream_set_chunk_size($stream, 1);
    stream_set_timeout($stream, 600);
}
while (($line = fgets($stream)) !== false) {
    echo $line;
    flush();
}
// After a time-out, `feof` is false.
if (!feof($stream)) exit(2);
