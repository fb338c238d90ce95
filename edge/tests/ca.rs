//! The CA while it serves: the proof that scripts of the public sample ask for, and a server certificate that renews
//! itself.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use reqwest::{Certificate, Client, tls::TlsInfo};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use support::{Running, now};
use time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

const CODE: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef";

#[tokio::test]
async fn without_the_legacy_face_nobody_is_there() {
    let edge = Running::start().await;
    let path = format!("/verify?challenge={CODE}");
    assert_eq!(edge.get(&edge.admin, &path).await.0, 404);
}

#[tokio::test]
async fn an_administrator_and_nobody_else_gets_a_proof_and_it_is_journalled() {
    let (dir, admin) = Running::made_at(now()).await;
    let edge = Running::start_headed(dir, admin, "legacy_api = true\n");
    let path = format!("/verify?challenge={CODE}");
    let anonymous = edge.client.get(edge.url(&path)).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    for role in ["station", "supervisor", "quality", "display"] {
        let token = edge.role(role).await;
        assert_eq!(edge.get(&token, &path).await.0, 403, "{role}");
    }
    // Frames of the ledger's own come in between, so what counts is how often the journal says it.
    let journalled = || {
        let folder = std::fs::read_dir(edge.dir.path().join("box/ledger/journal")).unwrap();
        let files = folder.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.map(|bytes| bytes.windows(9).filter(|at| at == b"ca_proved").count()).sum::<usize>()
    };
    for bad in ["", "?challenge=", "?challenge=xyz", "?challenge=0123456789abcdeg", "?challenge=a&other=1"] {
        let (status, body) = edge.get(&edge.admin, &format!("/verify{bad}")).await;
        assert_eq!((status, body["code"].as_str()), (400, Some("challenge-invalid")), "{bad}");
    }
    assert_eq!(journalled(), 0, "a refusal writes nothing");
    let (status, body) = edge.get(&edge.admin, &path).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(journalled(), 1);
    let proof = body["challengeresult"].as_str().unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "what such a script expects, and no more");
    let der = CertificateDer::from_pem_slice(proof.as_bytes()).unwrap();
    let issuing = std::fs::read(edge.dir.path().join("box/issuing.pem")).unwrap();
    let issuing = CertificateDer::from_pem_slice(&issuing).unwrap();
    let (_, proof) = X509Certificate::from_der(&der).unwrap();
    let (_, issuing) = X509Certificate::from_der(&issuing).unwrap();
    assert_eq!(proof.subject().to_string(), format!("CN={CODE}"));
    proof.verify_signature(Some(issuing.public_key())).unwrap();
}

/// The certificate that a new connection is shown.
async fn shown(edge: &Running) -> Vec<u8> {
    let root = std::fs::read(edge.dir.path().join("box/root.pem")).unwrap();
    let client = Client::builder()
        .tls_certs_only([Certificate::from_pem(&root).unwrap()])
        .tls_info(true)
        .build()
        .unwrap();
    let answer = client.get(edge.url("/livez")).send().await.unwrap();
    answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

#[tokio::test]
async fn a_server_certificate_renews_itself_while_it_is_served() {
    // Of its 366 days, 301 are over: the start makes another.
    let (dir, admin) = Running::made_at(now() - Duration::days(300)).await;
    let path = dir.path().join("box/server.pem");
    let old = std::fs::read(&path).unwrap();
    let edge = Running::start_in(dir, admin);
    let file = || CertificateDer::from_pem_slice(&std::fs::read(&path).unwrap()).unwrap().to_vec();
    let first = file();
    // What is loaded by now is young, and nothing runs before the first await: this one is found to be due.
    std::fs::write(&path, old).unwrap();
    let due = file();
    assert_ne!(first, due);
    let renewed = async {
        loop {
            let now = shown(&edge).await;
            if now != first {
                return now;
            }
        }
    };
    let renewed = tokio::time::timeout(std::time::Duration::from_secs(60), renewed).await.unwrap();
    assert_eq!(renewed, file(), "what is shown is on disk");
    assert_ne!(renewed, due, "the old one is shown");
    let (_, parsed) = X509Certificate::from_der(&renewed).unwrap();
    let left = parsed.validity().not_after.to_datetime() - now();
    assert!(left > Duration::days(360), "{left}");
}
