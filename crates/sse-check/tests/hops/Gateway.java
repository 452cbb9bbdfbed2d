import io.vertx.core.Vertx;
import io.vertx.httpproxy.HttpProxy;

/** Runs a proxy of Vert.x in front of an origin: Gateway.java PORT ORIGIN_PORT */
public class Gateway {
    public static void main(String[] arguments) {
        Vertx vertx = Vertx.vertx();
        HttpProxy proxy = HttpProxy.reverseProxy(vertx.createHttpClient());
        proxy.origin(Integer.parseInt(arguments[1]), "127.0.0.1");
        vertx.createHttpServer().requestHandler(proxy).listen(Integer.parseInt(arguments[0]), "127.0.0.1");
    }
}
