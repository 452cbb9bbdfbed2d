import org.eclipse.jetty.ee10.proxy.AsyncProxyServlet;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.client.HttpClient;
import org.eclipse.jetty.http.HttpURI;
import org.eclipse.jetty.proxy.ProxyHandler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** Runs Jetty's proxies: JettyProxy PORT ORIGIN_PORT handler|many|servlet|flushing */
public class JettyProxy {
    static String origin;

    public static class ToOrigin extends AsyncProxyServlet {
        @Override
        protected String rewriteTarget(jakarta.servlet.http.HttpServletRequest request) {
            return origin + request.getRequestURI() + "?" + request.getQueryString();
        }
    }

    static class Handler extends ProxyHandler.Reverse {
        private final int connections;

        Handler(int connections) {
            super(request -> HttpURI.from(origin + request.getHttpURI().getPathQuery()));
            this.connections = connections;
        }

        @Override
        protected HttpClient newHttpClient() {
            HttpClient client = super.newHttpClient();
            client.setMaxConnectionsPerDestination(connections);
            return client;
        }
    }

    public static void main(String[] arguments) throws Exception {
        origin = "http://127.0.0.1:" + arguments[1];
        Server server = new Server();
        HttpConfiguration configuration = new HttpConfiguration();
        boolean flushes = arguments[2].equals("flushing");
        if (flushes) configuration.setOutputAggregationSize(0);
        ServerConnector connector = new ServerConnector(server, new HttpConnectionFactory(configuration));
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[0]));
        server.addConnector(connector);
        switch (arguments[2]) {
            case "handler" -> server.setHandler(new Handler(64));
            case "many" -> server.setHandler(new Handler(10_000));
            default -> {
                ServletContextHandler context = new ServletContextHandler("/");
                ServletHolder holder = new ServletHolder(new ToOrigin());
                if (flushes) {
                    holder.setInitParameter("timeout", "0");
                    holder.setInitParameter("idleTimeout", "120000");
                    holder.setInitParameter("maxConnections", "10000");
                }
                context.addServlet(holder, "/*");
                server.setHandler(context);
            }
        }
        server.start();
    }
}
