//! What stands between this box and DPS is recognised, over real sockets and real TLS.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{net::SocketAddr, path::Path, time::Duration};

use cloud_sync::{
    Cause, Cloud, CloudConfig,
    answer::{Answer, Call, Trouble},
};
use emulator::{Control, Emulator, Options, Weather};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// A running emulator, and the configuration of a cloud that leads there.
struct Sky {
    control: Control,
    address: SocketAddr,
    section: String,
    dir: TempDir,
    tasks: JoinSet<()>,
}

impl Sky {
    async fn rise() -> Self {
        // Another test of this process may have done it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options {
            https: free,
            mqtt: free,
            admin: free,
            state: dir.path().to_owned(),
            hubs: vec!["hub-1".to_owned()],
            retry_after: 1,
        };
        let emulator = Emulator::bind(options).await.unwrap();
        let (control, address) = (emulator.control(), emulator.https_addr());
        let section = format!(
            "connection_string_file = {:?}\nextra_root = {:?}\nrequest_timeout = \"2s\"\n",
            emulator.connection_string(),
            emulator.root()
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { emulator.run(CancellationToken::new()).await.unwrap() });
        Self { control, address, section, dir, tasks }
    }

    /// The section of a cloud that connects to the emulator itself.
    fn direct(&self) -> String {
        format!("{}connect_to = \"{}\"\n", self.section, self.address)
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A proxy that wants this `Proxy-Authorization`, and leads everything to the emulator.
    async fn proxy(&mut self, wants: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (proxy, to) = (listener.local_addr().unwrap(), self.address);
        self.tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                pipes.spawn(async move { tunnel(stream, to, wants).await.ok() });
            }
        });
        proxy
    }
}

async fn tunnel(stream: TcpStream, to: SocketAddr, wants: Option<&str>) -> std::io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    while client.read_line(&mut head).await? > 0 && !head.ends_with("\r\n\r\n") {}
    assert!(head.starts_with("CONNECT "), "{head}");
    let given = head.lines().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:"));
    if wants.is_some_and(|wants| !given.is_some_and(|given| given.ends_with(wants))) {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut TcpStream::connect(to).await?).await?;
    Ok(())
}

fn configured(section: &str) -> Result<Cloud, cloud_sync::CloudError> {
    Cloud::new(&toml::from_str::<CloudConfig>(section).unwrap())
}

async fn ask(section: &str) -> Result<Answer, Trouble> {
    let call = Call { path: "/enrollments/a".to_owned(), cost: 1, ..Call::default() };
    configured(section).unwrap().call(&call, now()).await?.check()
}

async fn check(section: &str, expected: Cause, word: &str) {
    let trouble = ask(section).await.unwrap_err();
    assert_eq!(trouble.cause, expected, "{trouble:?}");
    assert!(trouble.detail.contains(word), "{trouble:?}");
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_cloud_that_cannot_be_reached_says_why() {
    let sky = Sky::rise().await;
    assert_eq!(ask(&sky.direct()).await.unwrap().status, 404);
    check(&format!("{}connect_to = \"{}\"\n", sky.section, nobody().await), Cause::Refused, "refused").await;
    let untrusting = sky
        .direct()
        .lines()
        .filter(|line| !line.starts_with("extra_root"))
        .fold(String::new(), |text, line| text + line + "\n");
    check(&untrusting, Cause::Tls, "certificate").await;
    let elsewhere =
        sky.file("elsewhere", "HostName=dps.invalid;SharedAccessKeyName=edge;SharedAccessKey=AAAA");
    check(&format!("connection_string_file = {elsewhere:?}\n"), Cause::Name, "").await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_given_up() {
    let sky = Sky::rise().await;
    let impatient = sky.direct().replace("\"2s\"", "\"300ms\"");
    sky.control.set_weather(Weather::Hanging);
    check(&impatient, Cause::TimedOut, "").await;
    sky.control.set_weather(Weather::Dripping);
    check(&impatient, Cause::TimedOut, "").await;
    // A port that takes connections and never answers, not even the TLS greeting.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let section = format!("{}connect_to = \"{}\"\n", sky.section, silent.local_addr().unwrap());
    check(&section.replace("\"2s\"", "\"300ms\""), Cause::TimedOut, "").await;
}

#[tokio::test]
async fn an_answer_that_is_not_of_dps_is_told_from_one_that_is() {
    let sky = Sky::rise().await;
    let weather = |weather| sky.control.set_weather(weather);
    weather(Weather::Captive);
    check(&sky.direct(), Cause::Stranger, "").await;
    weather(Weather::Throttled { retry_after: 7 });
    let trouble = ask(&sky.direct()).await.unwrap_err();
    assert_eq!((trouble.cause, trouble.retry_after), (Cause::Busy, Some(Duration::from_secs(7))));
    weather(Weather::Offline);
    check(&sky.direct(), Cause::Unreachable, "").await;
    weather(Weather::Truncated);
    let answer = ask(&sky.direct()).await.unwrap();
    assert_eq!(answer.parse::<serde_json::Value>().unwrap_err().cause, Cause::Garbled);
}

#[tokio::test]
async fn a_credential_is_refused_for_itself_or_for_the_clock() {
    let sky = Sky::rise().await;
    let known = std::fs::read_to_string(connection_string(&sky.section)).unwrap();
    let (head, _) = known.split_once("SharedAccessKey=").unwrap();
    let other = sky.file("other", &format!("{head}SharedAccessKey=AAAA"));
    let known_file = connection_string(&sky.section);
    let section = sky.direct().replace(&format!("{known_file:?}"), &format!("{other:?}"));
    check(&section, Cause::Unauthorized, "401").await;
    let call = Call { path: "/enrollments/a".to_owned(), cost: 1, ..Call::default() };
    let yesterday = now() - time::Duration::DAY;
    let answer = configured(&sky.direct()).unwrap().call(&call, yesterday).await.unwrap();
    assert_eq!(answer.check().unwrap_err().cause, Cause::Clock);
}

fn connection_string(section: &str) -> std::path::PathBuf {
    let table: toml::Table = section.parse().unwrap();
    Path::new(table["connection_string_file"].as_str().unwrap()).to_owned()
}

#[tokio::test]
async fn a_proxy_is_gone_through_with_a_login_if_it_wants_one_and_blamed_if_it_does_not_let_us() {
    let mut sky = Sky::rise().await;
    let open = sky.proxy(None).await;
    let closed = sky.proxy(Some("Basic ZWRnZTpzZWNyZXQ=")).await;
    let through = |proxy: SocketAddr| format!("{}[proxy]\naddress = \"http://{proxy}\"\n", sky.section);
    assert_eq!(ask(&through(open)).await.unwrap().status, 404, "TLS to the real name, through the tunnel");
    check(&through(closed), Cause::Proxy, &closed.to_string()).await;
    check(&through(nobody().await), Cause::Proxy, "refused").await;
    let password = sky.file("password", "secret\n");
    let login = format!("{}user = \"edge\"\npassword_file = {password:?}\n", through(closed));
    assert_eq!(ask(&login).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_proxy_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let sky = Sky::rise().await;
    for (proxy, word) in [
        ("address = \"proxy:3128\"", "http://HOST:PORT"),
        ("address = \"http://proxy:3128\"\nuser = \"edge\"", "both user and password_file"),
        ("address = \"http://proxy:3128\"\nuser = \"edge\"\npassword_file = \"/nowhere\"", "/nowhere"),
    ] {
        let error = configured(&format!("{}[proxy]\n{proxy}\n", sky.section)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[expect(clippy::disallowed_methods, reason = "real sockets live in real time")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
