import io.undertow.Undertow;
import io.undertow.server.handlers.proxy.LoadBalancingProxyClient;
import io.undertow.server.handlers.proxy.ProxyHandler;
import java.net.URI;

/** Runs Undertow's proxy: UndertowProxy PORT ORIGIN_PORT [CONNECTIONS] */
public class UndertowProxy {
    public static void main(String[] arguments) throws Exception {
        LoadBalancingProxyClient client = new LoadBalancingProxyClient();
        // The limit must be set before the address is added: afterwards, it has no effect.
        if (arguments.length > 2) client.setConnectionsPerThread(Integer.parseInt(arguments[2]));
        client.addHost(new URI("http://127.0.0.1:" + arguments[1]));
        ProxyHandler handler = ProxyHandler.builder().setProxyClient(client).build();
        Undertow.builder().setIoThreads(2)
            .addHttpListener(Integer.parseInt(arguments[0]), "127.0.0.1", handler).build().start();
    }
}
