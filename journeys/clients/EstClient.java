// A device with BouncyCastle's EST client: asks what to trust, enrolls, and renews with the certificate that it got.
//
// java -cp bcpkix.jar:bcprov.jar:bcutil.jar EstClient.java PORT ROOT TOKEN ID FOLDER
//
// Writes cacerts.pem, first.pem, first.key, second.pem and second.key into FOLDER.

import java.io.FileInputStream;
import java.io.FileWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.ECGenParameterSpec;
import java.util.Collection;

import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import javax.security.auth.x500.X500Principal;

import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.est.ESTAuth;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.jcajce.JcaHttpAuthBuilder;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.openssl.jcajce.JcaPKCS8Generator;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class EstClient {
    private final int port;
    private final Path folder;
    private final X509TrustManager trust;

    private EstClient(int port, Path folder, Certificate root) throws Exception {
        this.port = port;
        this.folder = folder;
        KeyStore roots = KeyStore.getInstance("PKCS12");
        roots.load(null, null);
        roots.setCertificateEntry("root", root);
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(roots);
        trust = (X509TrustManager) factory.getTrustManagers()[0];
    }

    public static void main(String[] arguments) throws Exception {
        Certificate root;
        try (FileInputStream file = new FileInputStream(arguments[1])) {
            root = CertificateFactory.getInstance("X.509").generateCertificate(file);
        }
        EstClient client = new EstClient(Integer.parseInt(arguments[0]), Path.of(arguments[4]), root);
        X500Principal subject = new X500Principal("CN=" + arguments[3]);
        ESTAuth token = new JcaHttpAuthBuilder("edge", "bouncycastle", arguments[2].toCharArray()).build();

        ESTService anonymous = client.service().build();
        Collection<X509CertificateHolder> authorities = anonymous.getCACerts().getCertificateStore().getMatches(null);
        client.write("cacerts.pem", authorities.toArray());
        if (anonymous.getCSRAttributes().getAttributesResponse().getRequirements().isEmpty()) {
            throw new IOException("no attributes");
        }

        KeyPair key = key();
        X509CertificateHolder first = one(anonymous.simpleEnroll(false, request(subject, key), token));
        client.write("first.pem", first);
        client.write("first.key", new JcaPKCS8Generator(key.getPrivate(), null));
        X509CertificateHolder again = one(anonymous.simpleEnroll(false, request(subject, key), token));
        if (!again.equals(first)) {
            throw new IOException("a repeat for the same key got another certificate");
        }

        KeyStore own = KeyStore.getInstance("PKCS12");
        own.load(null, null);
        Certificate[] chain = {new JcaX509CertificateConverter().getCertificate(first)};
        own.setKeyEntry("own", key.getPrivate(), new char[0], chain);
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
        keys.init(own, new char[0]);
        ESTService unit = client.service().withKeyManagers(keys.getKeyManagers()).build();
        KeyPair next = key();
        X509CertificateHolder second = one(unit.simpleEnroll(true, request(subject, next), null));
        client.write("second.pem", second);
        client.write("second.key", new JcaPKCS8Generator(next.getPrivate(), null));
    }

    private JsseESTServiceBuilder service() {
        return new JsseESTServiceBuilder("localhost", port, trust).withTimeout(20_000);
    }

    private static KeyPair key() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    private static PKCS10CertificationRequest request(X500Principal subject, KeyPair key) throws Exception {
        return new JcaPKCS10CertificationRequestBuilder(subject, key.getPublic())
                .build(new JcaContentSignerBuilder("SHA256withECDSA").build(key.getPrivate()));
    }

    private static X509CertificateHolder one(EnrollmentResponse response) throws IOException {
        if (!response.isCompleted()) {
            throw new IOException("not before " + response.getNotBefore());
        }
        Collection<X509CertificateHolder> found = response.getStore().getMatches(null);
        if (found.size() != 1) {
            throw new IOException(found.size() + " certificates");
        }
        return found.iterator().next();
    }

    private void write(String name, Object... objects) throws IOException {
        try (JcaPEMWriter writer = new JcaPEMWriter(new FileWriter(folder.resolve(name).toFile()))) {
            for (Object object : objects) {
                writer.writeObject(object);
            }
        }
    }
}
