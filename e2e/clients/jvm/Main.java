import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

import com.launchdarkly.eventsource.ConnectStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.MessageEvent;
import com.launchdarkly.eventsource.background.BackgroundEventHandler;
import com.launchdarkly.eventsource.background.BackgroundEventSource;
import com.linecorp.armeria.client.WebClientBuilder;
import com.linecorp.armeria.common.HttpData;
import io.micronaut.core.type.Argument;
import io.micronaut.http.client.DefaultHttpClientConfiguration;
import io.micronaut.http.client.sse.SseClient;
import io.vertx.core.Vertx;
import io.vertx.ext.web.client.WebClientOptions;
import io.vertx.ext.web.codec.BodyCodec;
import jakarta.ws.rs.client.ClientBuilder;
import jakarta.ws.rs.client.ClientRequestFilter;
import jakarta.ws.rs.sse.SseEventSource;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.MediaType;
import org.springframework.http.codec.ServerSentEvent;
import org.springframework.web.reactive.function.client.WebClient;
import reactor.core.publisher.Flux;
import reactor.util.retry.Retry;

/** The clients of Maven Central: `Main CLIENT SITUATION=URL...` prints a line of JSON for each event, and one when the client returns. */
public class Main {
    static final Duration PATIENCE = Duration.ofSeconds(45);

    static String quoted(Object value) {
        String text = value == null ? "" : value.toString();
        StringBuilder quoted = new StringBuilder("\"");
        text.chars().limit(200).forEach(c -> {
            if (c == '"' || c == '\\') quoted.append('\\').append((char) c);
            else if (c < ' ') quoted.append(' ');
            else quoted.append((char) c);
        });
        return quoted.append('"').toString();
    }

    static synchronized void event(String at, String name, String data) {
        String text = data == null ? "" : data;
        String start = text.substring(0, Math.min(text.length(), 40));
        System.out.println("{\"at\":" + quoted(at) + ",\"event\":" + quoted(name) + ",\"data\":" + quoted(start) + ",\"size\":"
            + text.length() + "}");
        System.out.flush();
    }

    static synchronized void over(String at, Object error) {
        System.out.println("{\"at\":" + quoted(at) + ",\"over\":" + quoted(error) + "}");
        System.out.flush();
    }

    static void okhttpEventSource(String at, String url, boolean isSet) {
        ConnectStrategy strategy = ConnectStrategy.http(URI.create(url));
        if (isSet) strategy = ConnectStrategy.http(URI.create(url)).readTimeout(45, TimeUnit.SECONDS);
        BackgroundEventHandler handler = new BackgroundEventHandler() {
            public void onOpen() {}
            public void onClosed() {}
            public void onComment(String comment) {}
            public void onError(Throwable error) {}
            public void onMessage(String name, MessageEvent it) { event(at, name, it.getData()); }
        };
        new BackgroundEventSource.Builder(handler, new EventSource.Builder(strategy)).build().start();
    }

    static void okhttpSse(String at, String url, boolean isSet) {
        if (isSet) {
            // The program of docs/clients.md, which the build puts beside this file.
            new Follow(url) {
                void show(String data) { event(at, "", data); }
                void reload() { event(at, "gap", ""); }
                void over(int status, Throwable error) { Main.over(at, status + " " + error); }
            }.start();
            return;
        }
        Request request = new Request.Builder().url(url).build();
        EventSources.createFactory(new OkHttpClient()).newEventSource(request, new EventSourceListener() {
            public void onEvent(okhttp3.sse.EventSource source, String id, String type, String data) { event(at, type, data); }
            public void onClosed(okhttp3.sse.EventSource source) { over(at, null); }
            public void onFailure(okhttp3.sse.EventSource source, Throwable error, Response response) {
                over(at, error == null ? "status " + response.code() : error);
            }
        });
    }

    static void webClient(String at, String url, boolean isSet) {
        WebClient client = WebClient.builder().codecs(it -> {
            if (isSet) it.defaultCodecs().maxInMemorySize(1 << 24);
        }).build();
        String[] last = {""};
        Flux<ServerSentEvent<String>> events = Flux.defer(() -> client.get().uri(url).accept(MediaType.TEXT_EVENT_STREAM)
            .headers(it -> {
                if (isSet) it.set("Cache-Control", "no-cache");
                if (isSet && !last[0].isEmpty()) it.set("Last-Event-ID", last[0]);
            })
            .retrieve().bodyToFlux(new ParameterizedTypeReference<ServerSentEvent<String>>() {}));
        if (isSet) {
            events = events.doOnNext(it -> { if (it.id() != null) last[0] = it.id(); })
                .retryWhen(Retry.fixedDelay(Long.MAX_VALUE, Duration.ofSeconds(2)))
                .repeatWhen(ends -> ends.delayElements(Duration.ofSeconds(2)));
        }
        events.subscribe(it -> event(at, it.event(), it.data()), error -> over(at, error), () -> over(at, null));
    }

    /** Jersey or RESTEasy, whichever is on the class path. */
    static void jaxRs(String at, String url, boolean isSet) {
        ClientBuilder builder = ClientBuilder.newBuilder();
        if (isSet) builder.register((ClientRequestFilter) it -> it.getHeaders().putSingle("Cache-Control", "no-cache"));
        SseEventSource[] opened = new SseEventSource[1];
        SseEventSource source = SseEventSource.target(builder.build().target(url)).build();
        source.register(it -> event(at, it.getName(), it.readData()), error -> System.err.println(at + ": " + error),
            () -> { if (!opened[0].isOpen()) over(at, "complete"); });
        opened[0] = source;
        source.open();
    }

    static void micronaut(String at, String url, boolean isSet) throws Exception {
        DefaultHttpClientConfiguration configuration = new DefaultHttpClientConfiguration();
        if (isSet) configuration.setReadTimeout(PATIENCE);
        SseClient client = SseClient.create(URI.create(url).toURL(), configuration);
        Flux.from(client.eventStream(url, Argument.of(String.class)))
            .subscribe(it -> event(at, it.getName(), it.getData()), error -> over(at, error), () -> over(at, null));
    }

    static void vertx(String at, String url) {
        URI uri = URI.create(url);
        io.vertx.ext.web.client.WebClient.create(Vertx.vertx(), new WebClientOptions())
            .get(uri.getPort(), uri.getHost(), uri.getPath()).putHeader("Accept", "text/event-stream")
            .as(BodyCodec.sseStream(events -> events.handler(it -> event(at, it.event(), it.data()))))
            .send().onComplete(done -> over(at, done.cause()));
    }

    static void armeria(String at, String url, boolean isSet) {
        WebClientBuilder builder = com.linecorp.armeria.client.WebClient.builder(url.replace("http://", "h1c://"));
        if (isSet) builder.responseTimeoutMillis(0).maxResponseLength(0);
        Lines lines = new Lines(at);
        var request = com.linecorp.armeria.common.HttpRequest.of(com.linecorp.armeria.common.RequestHeaders.of(
            com.linecorp.armeria.common.HttpMethod.GET, "", "accept", "text/event-stream"));
        Flux.from(builder.build().execute(request).split().body())
            .subscribe((HttpData it) -> lines.add(it.toStringUtf8()), error -> over(at, error), () -> over(at, null));
    }

    /** Decodes streams whose events have no names. */
    static final class Lines {
        final String at;
        final StringBuilder rest = new StringBuilder();

        Lines(String at) { this.at = at; }

        void add(String text) {
            rest.append(text);
            for (int end; (end = rest.indexOf("\n")) >= 0; rest.delete(0, end + 1)) line(rest.substring(0, end));
        }

        void line(String line) {
            if (line.startsWith("data:")) event(at, "", line.substring(5).trim());
        }
    }

    static void httpClient(String at, String url) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).header("Accept", "text/event-stream").build();
        HttpResponse<Stream<String>> response = java.net.http.HttpClient.newHttpClient()
            .send(request, HttpResponse.BodyHandlers.ofLines());
        if (response.statusCode() != 200) { over(at, "status " + response.statusCode()); return; }
        Lines lines = new Lines(at);
        response.body().forEach(lines::line);
        over(at, null);
    }

    static void okhttp(String at, String url, boolean isSet) throws Exception {
        OkHttpClient.Builder builder = new OkHttpClient.Builder();
        if (isSet) builder.readTimeout(PATIENCE);
        Request request = new Request.Builder().url(url).header("Accept", "text/event-stream").build();
        try (Response response = builder.build().newCall(request).execute()) {
            if (response.code() != 200) { over(at, "status " + response.code()); return; }
            Lines lines = new Lines(at);
            for (String line; (line = response.body().source().readUtf8Line()) != null; ) lines.line(line);
        }
        over(at, null);
    }

    static void run(String client, String at, String url) throws Exception {
        boolean isSet = client.endsWith(", set");
        switch (client.replace(", set", "")) {
            case "okhttp-eventsource" -> okhttpEventSource(at, url, isSet);
            case "okhttp-sse" -> okhttpSse(at, url, isSet);
            case "okhttp" -> okhttp(at, url, isSet);
            case "webclient" -> webClient(at, url, isSet);
            case "jersey", "resteasy" -> jaxRs(at, url, isSet);
            case "micronaut" -> micronaut(at, url, isSet);
            case "vertx" -> vertx(at, url);
            case "armeria" -> armeria(at, url, isSet);
            case "httpclient" -> httpClient(at, url);
            default -> throw new IllegalArgumentException(client);
        }
    }

    public static void main(String[] arguments) throws Exception {
        for (int i = 1; i < arguments.length; i++) {
            String[] situation = arguments[i].split("=", 2);
            new Thread(() -> {
                try {
                    run(arguments[0], situation[0], situation[1]);
                } catch (Throwable error) {
                    over(situation[0], error);
                }
            }).start();
        }
        Thread.sleep(3_600_000);
    }
}
