import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.main.Main;

/** Runs a bridge of Camel: CamelProxy PORT ORIGIN_PORT [streaming] */
public class CamelProxy {
    public static void main(String[] arguments) throws Exception {
        String streaming = arguments.length > 2 ? "&disableStreamCache=true&connectionsPerRoute=1000&maxTotalConnections=1000" : "";
        String disabled = arguments.length > 2 ? "&disableStreamCache=true" : "";
        Main main = new Main();
        main.configure().addRoutesBuilder(new RouteBuilder() {
            @Override
            public void configure() {
                from("jetty:http://127.0.0.1:" + arguments[0] + "/?matchOnUriPrefix=true" + disabled)
                    .to("http://127.0.0.1:" + arguments[1] + "/?bridgeEndpoint=true&throwExceptionOnFailure=false" + streaming);
            }
        });
        main.run();
    }
}
