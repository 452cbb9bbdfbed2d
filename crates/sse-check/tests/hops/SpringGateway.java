import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;

/** Runs Spring Cloud Gateway, with routes from properties: SpringGateway --server.port=… */
@SpringBootConfiguration
@EnableAutoConfiguration
public class SpringGateway {
    public static void main(String[] arguments) {
        SpringApplication.run(SpringGateway.class, arguments);
    }
}
