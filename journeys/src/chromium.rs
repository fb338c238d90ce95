//! A real browser without a screen: chromium, driven over its DevTools protocol.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--remote-debugging-port=0",
    "--window-size=1920,1080",
    "--hide-scrollbars",
];

/// One page of a running browser.
#[derive(Debug)]
pub struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    calls: u64,
    session: Option<String>,
    child: Child,
    _profile: TempDir,
}

impl Page {
    /// Starts the browser with an empty profile, and opens an empty page.
    pub async fn open(program: &Path) -> Result<Self> {
        let profile = TempDir::new()?;
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let port_file = profile.path().join("DevToolsActivePort");
        let address = timeout(PATIENCE, written(&port_file)).await.context("the browser does not start")?;
        let (socket, _) = connect_async(address).await?;
        let mut page = Self { socket, calls: 0, session: None, child, _profile: profile };
        let target =
            page.call("Target.createTarget", json!({ "url": "about:blank" })).await?["targetId"].clone();
        let attached =
            page.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await?;
        page.session = Some(attached["sessionId"].as_str().context("no session")?.to_owned());
        page.call("Page.enable", json!({})).await?;
        page.resize(1920, 1080).await?;
        Ok(page)
    }

    /// Makes the window so many pixels wide and high.
    pub async fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Goes to an address.
    pub async fn go(&mut self, url: &str) -> Result<()> {
        let went = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(went.get("errorText").is_none(), "{url}: {}", went["errorText"]);
        Ok(())
    }

    /// The value of an expression in the page; a promise is awaited.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{expression}: {thrown}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true in the page, looking at every change of it; returns after how many milliseconds.
    pub async fn until(&mut self, expression: &str) -> Result<f64> {
        let wait = format!(
            "new Promise((done) => {{
                const began = performance.now();
                const look = () => {{ if ({expression}) {{ watch.disconnect(); done(performance.now() - began); }} }};
                const watch = new MutationObserver(look);
                watch.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                look();
            }})"
        );
        let looking = async {
            loop {
                match self.evaluate(&wait).await {
                    // The page went elsewhere meanwhile: look at where it is now.
                    Err(error) if error.to_string().contains("navigated") => {}
                    waited => return waited,
                }
            }
        };
        let waited = timeout(PATIENCE, looking).await;
        let waited = waited.with_context(|| format!("it never came about that {expression}"))??;
        waited.as_f64().context("no time")
    }

    /// Takes a picture of the page.
    pub async fn picture(&mut self, path: &Path) -> Result<()> {
        let taken = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let text = taken["data"].as_str().context("no picture")?;
        use base64::{Engine, engine::general_purpose::STANDARD};
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        Ok(std::fs::write(path, STANDARD.decode(text)?)?)
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.calls += 1;
        let number = self.calls;
        let mut message = json!({ "id": number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await?;
        while let Some(heard) = self.socket.next().await {
            let Message::Text(text) = heard? else { continue };
            let answer: Value = serde_json::from_str(&text)?;
            if answer["id"] == number {
                ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].clone());
            }
        }
        bail!("the browser is gone")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the file in which the browser says where it listens.
async fn written(path: &PathBuf) -> String {
    let mut pace = interval(Duration::from_millis(50));
    loop {
        pace.tick().await;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let [port, rest] = text.lines().collect::<Vec<_>>()[..] {
            return format!("ws://127.0.0.1:{port}{rest}");
        }
    }
}
