# Ruby's net/http. With `set`, it does not repeat a request, and waits longer.
require "net/http"

uri = URI(ARGV.last)
http = Net::HTTP.new(uri.host, uri.port)
if ARGV.first == "set"
  http.max_retries = 0
  http.read_timeout = 600
end
http.start do |connection|
  connection.request_get(uri.path, "Accept" => "text/event-stream") do |response|
    exit 1 unless response.code == "200"
    response.read_body do |part|
      print part
      $stdout.flush
    end
  end
end
