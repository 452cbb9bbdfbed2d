import com.linecorp.armeria.client.WebClient;
import com.linecorp.armeria.server.Server;
import com.linecorp.armeria.server.ServerBuilder;
import java.net.InetSocketAddress;
import java.time.Duration;

/** Runs a proxy of Armeria: ArmeriaProxy PORT ORIGIN_PORT [unlimited] */
public class ArmeriaProxy {
    public static void main(String[] arguments) {
        boolean isUnlimited = arguments.length > 2;
        var client = WebClient.builder("http://127.0.0.1:" + arguments[1]);
        ServerBuilder server = Server.builder().http(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
        if (isUnlimited) {
            server.requestTimeout(Duration.ZERO);
            client.responseTimeout(Duration.ZERO).maxResponseLength(0);
        }
        WebClient it = client.build();
        server.service("prefix:/", (context, request) -> it.execute(request)).build().start().join();
    }
}
