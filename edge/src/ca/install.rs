//! Another issuing CA takes over: a key is made, somebody signs, the journal says so, the files follow.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use http::StatusCode;
use keys::{KeyError, SigningKey, create_private, write_private};
use ledger::{Decision, Ledger, Stamp, View};
use time::OffsetDateTime;
use tracing::info;
use web::Problem;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use super::{
    CaInstalled, Chain, Issuing, Keyring, Origin,
    event::{current, current_in},
    issuing::former,
};
use crate::{EdgeEvent, StartError, http::refused, pki, state_dir::StateDir};

/// What was made by a request, and waits for its certificate.
const NEXT: &str = "issuing-next";

fn next_csr(state: &StateDir) -> std::path::PathBuf {
    state.path().join(format!("{NEXT}.csr"))
}

/// Makes the key of the next issuing CA and a request (PKCS#10, PEM) for it; returns both.
///
/// `replace` gives up a request that still waits for its certificate, and with it its key.
pub(crate) fn request(
    state: &StateDir,
    keyring: &Keyring,
    box_id: &str,
    name: Option<&str>,
    replace: bool,
) -> Result<(Box<dyn SigningKey>, String), StartError> {
    let csr_path = next_csr(state);
    if csr_path.exists() {
        if !replace {
            return Err(StartError::Certificate(format!(
                "a request waits for its certificate already: {}; install that, or give it up with --replace",
                csr_path.display()
            )));
        }
        for path in [state.key(NEXT), csr_path.clone()] {
            remove(&path)?;
        }
    }
    // A key without a request is left of an attempt that did not get as far as anybody seeing it.
    remove(&state.key(NEXT))?;
    let key = keyring.create(&state.key(NEXT))?;
    let csr = pki::ca_request(key.as_ref(), box_id, name)
        .map_err(|error| StartError::Certificate(error.to_string()))?;
    create_private(&csr_path, csr.as_bytes())?;
    for path in [state.key(NEXT), csr_path] {
        belongs_to_the_owner(state, &path)?;
    }
    Ok((key, csr))
}

/// Whoever makes a file for the daemon, root as a rule, gives it to the owner of the folder.
fn belongs_to_the_owner(state: &StateDir, path: &Path) -> Result<(), StartError> {
    let io = |source| StartError::Io { path: path.display().to_string(), source };
    let owner = fs::metadata(state.path()).map_err(io)?;
    if path.exists() && fs::metadata(path).map_err(io)?.uid() != owner.uid() {
        chown(path, Some(owner.uid()), Some(owner.gid())).map_err(io)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), StartError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StartError::Io { path: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// The public key of the request that waits.
fn waiting(state: &StateDir) -> Option<Vec<u8>> {
    let text = fs::read(next_csr(state)).ok()?;
    let (_, pem) = parse_x509_pem(&text).ok()?;
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    Some(csr.certification_request_info.subject_pki.raw.to_vec())
}

/// Has the issuing CA of `chain` take over, whose key was made by [`request`].
pub(crate) async fn install(
    issuing: &Issuing,
    ledger: &Ledger<EdgeEvent>,
    chain: Chain,
    actor: String,
    at: OffsetDateTime,
) -> Result<CaInstalled, Problem> {
    let state = &issuing.state;
    let refuse = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "ca-unfit", why);
    let spki = waiting(state).ok_or_else(|| {
        let detail = "no request waits for a certificate; make one with: edge ca request";
        Problem::new(StatusCode::CONFLICT, "ca-not-requested", detail)
    })?;
    chain.check(&spki, &issuing.root, at).map_err(refuse)?;
    let trouble = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "the issuing CA could not take over");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "ca-trouble", error.to_string())
    };
    let key = issuing.keyring.open(&state.key(NEXT), &spki).map_err(|error| trouble(&error))?;
    let origin = if chain.root().is_some() { Origin::OtherRoot } else { Origin::OwnRoot };
    let next = issuing.candidate(chain, key, at).map_err(refuse)?;
    let before = issuing.current();
    keep(state, &before.chain, issuing.keyring.uses_files()).map_err(|error| trouble(&error))?;
    let event = CaInstalled { origin, current: next.chain.to_event(), previous: before.chain.to_event() };
    let (events, previous) = (vec![EdgeEvent::CaInstalled(event.clone())], event.previous.sha256.clone());
    let recorded = current(ledger).map_err(|error| trouble(&error))?.map(|ca| ca.sha256);
    let decide = move |view: &View<'_>| {
        // Two that are installed at once would both take over from the same.
        let now = current_in(view);
        if now == recorded && now.is_none_or(|now| now == previous) {
            Ok(Decision { events, answer: () })
        } else {
            Err(())
        }
    };
    let committed = ledger.commit(Stamp { at, actor: actor.clone() }, decide).await;
    committed.map_err(|error| {
        refused(error, |()| {
            let detail = "another issuing CA has just taken over; look at: edge ca status";
            Problem::new(StatusCode::CONFLICT, "ca-changed", detail)
        })
    })?;
    info!(sha256 = event.current.sha256, ?origin, actor, "another issuing CA has taken over");
    // From here on it is so. What fails now is finished by the next start.
    issuing.take_over(next);
    settle(state, ledger).map_err(|error| trouble(&error))?;
    Ok(event)
}

/// Keeps certificates and key of the CA that gives way: it still signs what revokes its own.
fn keep(state: &StateDir, chain: &Chain, with_key: bool) -> Result<(), KeyError> {
    let name = former(chain);
    write_private(&state.certificate(&name), chain.pem().as_bytes())?;
    if with_key && !state.key(&name).exists() {
        create_private(&state.key(&name), &keys::read_private(&state.key("issuing"))?)?;
    }
    Ok(())
}

/// Brings the files up to what the journal says: the last step of taking over, and of a start after a crash in it.
pub(crate) fn settle(state: &StateDir, ledger: &Ledger<EdgeEvent>) -> Result<(), StartError> {
    let Some(chain) = current(ledger)?.as_ref().and_then(Chain::of_event) else { return Ok(()) };
    let path = state.certificate("issuing");
    let there = fs::read(&path).ok().and_then(|text| Chain::from_pem(&text).ok());
    if there.as_ref() != Some(&chain) {
        let (from, to) = (state.key(NEXT), state.key("issuing"));
        // Absent if the key is in a token, or if the crash came behind this line.
        if from.exists() {
            fs::rename(&from, &to)
                .map_err(|source| StartError::Io { path: to.display().to_string(), source })?;
        }
        write_private(&path, chain.pem().as_bytes())?;
    }
    // A request whose key is at work waits no longer.
    let at_work = super::public_key(chain.issuing()).ok();
    if waiting(state).is_some_and(|spki| Some(spki) == at_work) {
        remove(&next_csr(state))?;
    }
    Ok(())
}
