//! A browser without a screen: visits the portal as a person would, with its cookies and its forms.

use anyhow::{Context, Result, ensure};
use reqwest::{Certificate, Client, Response, StatusCode, redirect::Policy};
use serde_json::Value;

/// A browser that trusts one root.
#[derive(Debug, Clone)]
pub struct Browser {
    client: Client,
    origin: String,
}

/// What an activation page says.
#[derive(Debug, Clone)]
pub struct Activation {
    path: String,
}

impl Browser {
    /// A browser for the portal at `origin`, which trusts `root` (PEM).
    pub fn new(origin: &str, root: &[u8]) -> Result<Self> {
        let root = Certificate::from_pem(root)?;
        let client =
            Client::builder().tls_certs_only([root]).cookie_store(true).redirect(Policy::none()).build()?;
        Ok(Self { client, origin: origin.to_owned() })
    }

    /// Signs in.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<()> {
        let token = self.token("/login").await?;
        let answer =
            self.post("/login", &[("name", name), ("password", password), ("token", &token)]).await?;
        ensure!(
            answer.status() == StatusCode::SEE_OTHER,
            "the portal does not let {name} in: {}",
            answer.status()
        );
        Ok(())
    }

    /// Fills in the activation page and sends it.
    pub async fn activate(&self, device: &str, claim: &str, metadata: &str, hub: &str) -> Result<Activation> {
        let token = self.token("/activate").await?;
        let form = [
            ("token", token.as_str()),
            ("device", device),
            ("claim", claim),
            ("metadata", metadata),
            ("hub", hub),
        ];
        let answer = self.post("/activate", &form).await?;
        let to = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        ensure!(
            status == StatusCode::SEE_OTHER,
            "the portal does not take the form ({status}): {}",
            answer.text().await?
        );
        Ok(Activation { path: to.context("no status page")? })
    }

    /// What the activation's page says now.
    pub async fn look(&self, activation: &Activation) -> Result<Value> {
        let request = self
            .client
            .get(format!("{}{}", self.origin, activation.path))
            .header("accept", "application/json");
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// The token of the form on a page.
    async fn token(&self, path: &str) -> Result<String> {
        let page = self
            .client
            .get(format!("{}{path}", self.origin))
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?;
        let (_, rest) = page.rsplit_once("name=\"token\" value=\"").context("the page has no form")?;
        Ok(rest.split('"').next().unwrap_or_default().to_owned())
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Response> {
        let request =
            self.client.post(format!("{}{path}", self.origin)).header("origin", &self.origin).form(form);
        Ok(request.send().await?)
    }
}
