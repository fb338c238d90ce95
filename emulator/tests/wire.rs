//! The MQTT face, byte by byte over real TLS: the same codec at both ends would hide its own mistakes.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test has a time, and waits for its server by itself")]

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use emulator::{Emulator, Options, Weather};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

const HUB: &str = "hub-1.azure-devices.net";

struct Bench {
    mqtt: SocketAddr,
    root: PathBuf,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    _dir: TempDir,
}

async fn bench() -> (Bench, Emulator) {
    let dir = TempDir::new().unwrap();
    let free = ([127, 0, 0, 1], 0).into();
    let options = Options {
        https: free,
        mqtt: free,
        admin: free,
        state: dir.path().into(),
        hubs: vec!["hub-1".into()],
        retry_after: 1,
    };
    let emulator = Emulator::bind(options).await.unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "a");
    let pair = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&pair).unwrap().der().clone();
    let bench = Bench {
        mqtt: emulator.mqtt_addr(),
        root: emulator.root().into(),
        certificate,
        key: pair.serialize_der(),
        _dir: dir,
    };
    (bench, emulator)
}

impl Bench {
    async fn dial(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.root).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![self.certificate.clone()], key)
            .unwrap();
        let stream = TcpStream::connect(self.mqtt).await.unwrap();
        TlsConnector::from(Arc::new(config))
            .connect("global.azure-devices-provisioning.net".try_into().unwrap(), stream)
            .await
            .unwrap()
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 16_384);
    let length = if body.len() < 128 {
        vec![body.len() as u8]
    } else {
        vec![(body.len() % 128) as u8 | 0x80, (body.len() / 128) as u8]
    };
    [&[kind], &length[..], body].concat()
}

/// MQTT 3.1.1, 3.1: protocol name, level 4, flags user name and clean session, keep-alive 60.
fn connect(client: &str, user: &str) -> Vec<u8> {
    packet(0x10, &[text("MQTT"), vec![4, 0x82, 0, 60], text(client), text(user)].concat())
}

async fn expect(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    timeout(Duration::from_secs(10), stream.read_exact(&mut found)).await.expect("in time").unwrap();
    assert_eq!(
        found,
        bytes,
        "{:?} instead of {:?}",
        String::from_utf8_lossy(&found),
        String::from_utf8_lossy(bytes)
    );
}

#[tokio::test]
async fn connect_subscribe_publish_and_their_order_are_as_the_standard_has_them() {
    let (bench, emulator) = bench().await;
    let cancel = CancellationToken::new();
    let serve = emulator.run(cancel.clone());
    let talk = async {
        let mut stream = bench.dial().await;
        let user = "0neX/registrations/a/api-version=2019-03-31&ClientVersion=x";
        stream.write_all(&connect("a", user)).await.unwrap();
        expect(&mut stream, &[0x20, 2, 0, 0]).await;
        // SUBSCRIBE with packet id 1, asking for QoS 2; SUBACK grants 1.
        let filter = "$dps/registrations/res/#";
        stream.write_all(&packet(0x82, &[vec![0, 1], text(filter), vec![2]].concat())).await.unwrap();
        expect(&mut stream, &[0x90, 3, 0, 1, 1]).await;
        // PUBLISH with QoS 1 and packet id 2: first its PUBACK, then the answer.
        let topic = "$dps/registrations/PUT/iotdps-register/?$rid=r1";
        stream.write_all(&packet(0x32, &[text(topic), vec![0, 2]].concat())).await.unwrap();
        expect(&mut stream, &[0x40, 2, 0, 2]).await;
        let mut head = [0; 3];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[0], 0x32, "a PUBLISH with QoS 1");
        let length = usize::from(head[1] & 0x7f) + usize::from(head[2]) * 128;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let answer = "$dps/registrations/res/401/?$rid=r1";
        assert_eq!(
            body[..2 + answer.len()],
            text(answer)[..],
            "nobody has enrolled it, and the answer says so"
        );
        stream.write_all(&[0xC0, 0]).await.unwrap();
        expect(&mut stream, &[0xD0, 0]).await;
        // A topic that nobody publishes to ends the connection.
        stream.write_all(&packet(0x30, &text("nowhere"))).await.unwrap();
        assert_eq!(stream.read(&mut head).await.unwrap_or(0), 0);
        cancel.cancel();
    };
    let (served, ()) = tokio::join!(serve, talk);
    served.unwrap();
}

#[tokio::test]
async fn a_hub_refuses_a_stranger_with_return_code_5_and_bad_weather_breaks_connections() {
    let (bench, emulator) = bench().await;
    let (cancel, control) = (CancellationToken::new(), emulator.control());
    let serve = emulator.run(cancel.clone());
    let talk = async {
        let mut stream = bench.dial().await;
        stream.write_all(&connect("a", &format!("{HUB}/a/?api-version=2021-04-12"))).await.unwrap();
        expect(&mut stream, &[0x20, 2, 0, 5]).await;
        let mut stream = bench.dial().await;
        stream.write_all(&connect("a", "0neX/registrations/a/api-version=2019-03-31")).await.unwrap();
        expect(&mut stream, &[0x20, 2, 0, 0]).await;
        control.set_weather(Weather::Offline);
        let ended =
            timeout(Duration::from_secs(10), stream.read(&mut [0; 1])).await.expect("cut off at once");
        assert_eq!(ended.unwrap_or(0), 0);
        let mut refused = TcpStream::connect(bench.mqtt).await.unwrap();
        assert_eq!(refused.read(&mut [0; 1]).await.unwrap_or(0), 0, "nobody gets in");
        cancel.cancel();
    };
    let (served, ()) = tokio::join!(serve, talk);
    served.unwrap();
}
