import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** Reads a discovery document with nothing but what the environment says: Java trusts the platform. */
public class Trust {
    public static void main(String[] args) throws Exception {
        String authority = System.getenv("AZURE_AUTHORITY_HOST");
        String tenant = System.getenv("AVOUCH_TENANT");
        HttpRequest request = HttpRequest.newBuilder(
            URI.create(authority + "/" + tenant + "/v2.0/.well-known/openid-configuration")).build();
        HttpResponse<String> response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body());
    }
}
