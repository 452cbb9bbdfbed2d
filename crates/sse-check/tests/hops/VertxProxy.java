import io.vertx.core.Vertx;
import io.vertx.core.http.PoolOptions;
import io.vertx.httpproxy.HttpProxy;

/** Runs Vert.x's proxy: VertxProxy PORT ORIGIN_PORT [CONNECTIONS] */

public class VertxProxy {
    public static void main(String[] arguments) {
        Vertx vertx = Vertx.vertx();
        PoolOptions pool = new PoolOptions();
        if (arguments.length > 2) pool.setHttp1MaxSize(Integer.parseInt(arguments[2]));
        HttpProxy proxy = HttpProxy.reverseProxy(vertx.httpClientBuilder().with(pool).build());
        proxy.origin(Integer.parseInt(arguments[1]), "127.0.0.1");
        vertx.createHttpServer().requestHandler(proxy).listen(Integer.parseInt(arguments[0]), "127.0.0.1");
    }
}
