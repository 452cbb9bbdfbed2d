import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.startup.Tomcat;
import org.mitre.dsmiley.httpproxy.ProxyServlet;

/** Runs smiley's ProxyServlet in Tomcat: ServletProxy PORT ORIGIN_PORT [CONNECTIONS] */
public class ServletProxy {
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(".");
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(Integer.parseInt(arguments[0]));
        tomcat.getConnector();
        Context context = tomcat.addContext("", null);
        Wrapper wrapper = Tomcat.addServlet(context, "proxy", new ProxyServlet());
        wrapper.addInitParameter("targetUri", "http://127.0.0.1:" + arguments[1]);
        if (arguments.length > 2) wrapper.addInitParameter("http.maxConnections", arguments[2]);
        context.addServletMappingDecoded("/*", "proxy");
        tomcat.start();
        tomcat.getServer().await();
    }
}
