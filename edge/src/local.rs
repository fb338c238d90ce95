//! The face of the command line: HTTP over a unix socket in the state folder.
//!
//! The daemon holds the ledger, so the command line talks to it. Who connects is who the kernel says: root, or the user
//! that the daemon runs as.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path as UrlPath, Query, State, connect_info::Connected},
    routing::{delete, get, post},
    serve::IncomingStream,
};
use cloud_sync::books::Pause;
use http::StatusCode;
use ledger::{Decision, Stamp, View};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream, unix::UCred};
use tokio_util::sync::CancellationToken;
use tracing::info;
use web::{Json, Problem};

use crate::{
    EdgeEvent,
    access::{NewToken, StationRecord, TokenRecord, key, mint},
    ca::{self, CaInstalled},
    clock::{Acceptance, ClockAccepted, ClockView, accept},
    courier::{self, CourierTrusted, Out, Taken},
    drift::{self, Differences},
    event::Reconciled,
    http::{Shared, Status, clock_view, now, refused, status_now, unreadable},
    order::{self, Closed, OrderOpened, OrderRecord},
    plain::is_plain,
    queue::{self, Changed, Hold, Part, Pick, Queue, Reason, Wanted},
    reconcile::{self, Comparison, Order},
    resolve::{self, Compared, Resolve, Resolved},
    stations::{self, Enrolled, NewStation},
};

/// The most that is read of a receipt; one of as many jobs as a bundle holds is far shorter, even if all are held.
const LONGEST_RECEIPT: usize = 32 << 20;

/// A bound socket.
pub(crate) struct Local {
    listener: UnixListener,
    path: PathBuf,
    router: Router,
}

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone)]
struct Caller(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = UnixStream::peer_cred(stream.io()).ok();
        Self(credentials.as_ref().map(UCred::uid))
    }
}

impl Caller {
    /// Who is written into the journal; nobody else than root and ourselves.
    fn actor(&self) -> Result<String, Problem> {
        let own = rustix::process::geteuid().as_raw();
        match self.0 {
            Some(uid) if uid == own || uid == 0 => Ok(format!("uid:{uid}")),
            _ => {
                let detail = "only root and the user of the daemon may do this; try with sudo";
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
        }
    }
}

/// The answer to a new token: the only time that it is seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Minted {
    pub(crate) token: String,
}

impl Local {
    /// Takes the socket. The ledger's lock has shown already that no other daemon lives here, so one that is left is stale.
    pub(crate) fn bind(path: &Path, floor: Shared) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let router = Router::new()
            .route("/status", get(status))
            .route("/checkpoint", post(checkpoint))
            .route("/reconcile", get(compare).post(reconcile))
            .route("/drift", get(show_drift).post(mend_drift))
            .route("/ca/install", post(install_ca))
            .route("/ca/prove", post(prove_ca))
            .route("/tokens", get(list).post(create))
            .route("/tokens/{name}", delete(revoke))
            .route("/clock", get(clock))
            .route("/clock/accept", post(accept_clock))
            .route("/stations", get(list_stations).post(enroll_station))
            .route("/stations/{name}", delete(revoke_station))
            .route("/orders", get(orders).post(open_order))
            .route("/orders/{number}", get(show_order))
            .route("/orders/{number}/close", post(close_order))
            .route("/queue", get(show_queue))
            .route("/queue/jobs", get(list_jobs))
            .route("/queue/jobs/{id}", get(show_job))
            .route("/queue/jobs/{id}/resolve", post(resolve_job))
            .route("/queue/retry", post(retry_jobs))
            .route("/queue/hold", post(hold_jobs))
            .route("/queue/pause", post(pause_queue))
            .route("/queue/resume", post(resume_queue))
            .route("/courier/trust", post(trust_courier))
            .route("/courier/out", post(courier_out))
            .route("/courier/in", post(courier_in).layer(DefaultBodyLimit::max(LONGEST_RECEIPT)))
            .with_state(floor);
        Ok(Self { listener, path: path.to_owned(), router })
    }

    /// Serves until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let service = self.router.into_make_service_with_connect_info::<Caller>();
        axum::serve(self.listener, service).with_graceful_shutdown(cancel.cancelled_owned()).await?;
        // Gone with us; the next start would remove it as well.
        let _ = fs::remove_file(&self.path);
        Ok(())
    }
}

async fn status(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Status>, Problem> {
    caller.actor()?;
    status_now(&floor).map(Json)
}

/// Has everything signed that was committed so far.
async fn checkpoint(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<StatusCode, Problem> {
    caller.actor()?;
    floor.ledger.sign().await;
    Ok(StatusCode::NO_CONTENT)
}

/// What the cloud knows that the backup lacks.
async fn compare(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Comparison>, Problem> {
    caller.actor()?;
    reconcile::compare(&floor).await.map(Json)
}

/// Lets a restored box go on.
async fn reconcile(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(order): Json<Order>,
) -> Result<Json<Reconciled>, Problem> {
    let actor = caller.actor()?;
    let reconciled = reconcile::reconcile(&floor, actor.clone(), order).await?;
    info!(generation = reconciled.generation, lost = reconciled.lost, actor, "reconciled");
    Ok(Json(reconciled))
}

/// What the cloud has otherwise than the ledger.
async fn show_drift(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Differences>, Problem> {
    caller.actor()?;
    drift::reconcile(&floor, None).await.map(Json)
}

/// The same, and has it told again or held.
async fn mend_drift(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Differences>, Problem> {
    let actor = caller.actor()?;
    drift::reconcile(&floor, Some(actor)).await.map(Json)
}

/// The clock, and whether it is believed.
async fn clock(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<ClockView>, Problem> {
    caller.actor()?;
    Ok(Json(clock_view(&floor)))
}

/// Vouches for the clock.
async fn accept_clock(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(acceptance): Json<Acceptance>,
) -> Result<Json<ClockAccepted>, Problem> {
    let actor = caller.actor()?;
    accept(&floor, actor, acceptance).await.map(Json)
}

/// Jobs for the cloud, at a glance.
async fn show_queue(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Queue>, Problem> {
    caller.actor()?;
    queue::glance(&floor).map(Json)
}

async fn list_jobs(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Part>, Problem> {
    caller.actor()?;
    queue::list(&floor, &wanted).map(Json)
}

async fn show_job(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<Compared>, Problem> {
    caller.actor()?;
    resolve::compare(&floor, &id).await.map(Json)
}

async fn resolve_job(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    UrlPath(id): UrlPath<String>,
    Json(asked): Json<Resolve>,
) -> Result<Json<Resolved>, Problem> {
    resolve::resolve(&floor, &caller.actor()?, &id, asked).await.map(Json)
}

async fn retry_jobs(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(pick): Json<Pick>,
) -> Result<Json<Changed>, Problem> {
    queue::retry(&floor, &caller.actor()?, pick).await.map(Json)
}

async fn hold_jobs(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(hold): Json<Hold>,
) -> Result<Json<Changed>, Problem> {
    queue::hold(&floor, &caller.actor()?, hold).await.map(Json)
}

async fn pause_queue(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(reason): Json<Reason>,
) -> Result<Json<Pause>, Problem> {
    queue::pause(&floor, &caller.actor()?, reason).await.map(Json)
}

async fn resume_queue(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<StatusCode, Problem> {
    queue::resume(&floor, &caller.actor()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Certificates, PEM, the issuing CA first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCa {
    pub(crate) chain: String,
}

/// Has another issuing CA take over.
async fn install_ca(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(new): Json<NewCa>,
) -> Result<Json<CaInstalled>, Problem> {
    let actor = caller.actor()?;
    let chain = ca::Chain::from_pem(new.chain.as_bytes())
        .map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "ca-unfit", why))?;
    ca::install(&floor.issuing, &floor.ledger, chain, actor, now()).await.map(Json)
}

/// A code to prove oneself for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Challenge {
    pub(crate) code: String,
    /// What the root has signed elsewhere, PEM; the issuing CA signs without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by_root: Option<String>,
}

/// The certificate that proves it, PEM.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) certificate: String,
}

/// Has a CA prove itself, or writes down that the root has.
async fn prove_ca(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(challenge): Json<Challenge>,
) -> Result<Json<Proof>, Problem> {
    let actor = caller.actor()?;
    let unfit = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "challenge-invalid", why);
    let code: ca::Code = challenge.code.parse().map_err(unfit)?;
    let certificate = match challenge.by_root {
        None => ca::prove(&floor.issuing, &floor.ledger, &code, actor, now()).await?,
        Some(pem) => {
            let proof = ca::Chain::from_pem(pem.as_bytes()).map_err(unfit)?;
            ca::record(&floor.ledger, &code, floor.issuing.root(), proof.issuing(), actor, now()).await?
        }
    };
    Ok(Json(Proof { certificate }))
}

async fn list(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Vec<TokenRecord>>, Problem> {
    caller.actor()?;
    Ok(Json(floor.usage.records(&floor.ledger).map_err(|error| unreadable(&error))?))
}

async fn create(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<Minted>), Problem> {
    let actor = caller.actor()?;
    let bad = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    if !is_plain(&new.name, 64) {
        return Err(bad(
            "name-invalid",
            "a token's name has 1 to 64 letters, digits, '-', '_' and '.'".to_owned(),
        ));
    }
    if let Some(line) = &new.line {
        floor.line(line)?;
    }
    if new.expires.is_some_and(|expires| expires <= now()) {
        return Err(bad("expired", "the token would have expired already; choose a later end".to_owned()));
    }
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Problem::internal())?;
    let (token, sha256) = mint(random);
    let (name, role) = (new.name.clone(), new.role);
    let event = EdgeEvent::TokenCreated(new.created(sha256));
    let taken = name.clone();
    let decide = move |view: &View<'_>| match view.get::<TokenRecord>(&key(&taken)) {
        None => Ok(Decision { events: vec![event], answer: () }),
        Some(_) => Err(()),
    };
    let committed = floor.ledger.commit(Stamp { at: now(), actor: actor.clone() }, decide).await;
    committed.map_err(|error| {
        refused(error, |()| {
            let detail = "a token of this name exists; names are never given twice, choose another";
            Problem::new(StatusCode::CONFLICT, "name-taken", detail)
        })
    })?;
    info!(name, %role, actor, "token created");
    Ok((StatusCode::CREATED, Json(Minted { token })))
}

async fn revoke(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    UrlPath(name): UrlPath<String>,
) -> Result<StatusCode, Problem> {
    let actor = caller.actor()?;
    let wanted = name.clone();
    let decide = move |view: &View<'_>| match view.get::<TokenRecord>(&key(&wanted)) {
        Some(record) if record.revoked => Ok(Decision { events: vec![], answer: () }),
        Some(_) => Ok(Decision { events: vec![EdgeEvent::TokenRevoked { name: wanted }], answer: () }),
        None => Err(()),
    };
    let committed = floor.ledger.commit(Stamp { at: now(), actor: actor.clone() }, decide).await;
    committed.map_err(|error| {
        refused(error, |()| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "token-unknown",
                "there is no token of this name; see: edge token ls",
            )
        })
    })?;
    info!(name, actor, "token revoked");
    Ok(StatusCode::NO_CONTENT)
}

async fn list_stations(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Vec<StationRecord>>, Problem> {
    caller.actor()?;
    Ok(Json(crate::access::stations(&floor.ledger).map_err(|error| unreadable(&error))?))
}

async fn enroll_station(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(new): Json<NewStation>,
) -> Result<(StatusCode, Json<Enrolled>), Problem> {
    let enrolled = stations::enroll(&floor, caller.actor()?, new).await?;
    Ok((StatusCode::CREATED, Json(enrolled)))
}

async fn revoke_station(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    UrlPath(name): UrlPath<String>,
) -> Result<StatusCode, Problem> {
    stations::revoke(&floor, caller.actor()?, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn orders(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Vec<OrderRecord>>, Problem> {
    caller.actor()?;
    order::list(&floor, None, usize::MAX).map(Json)
}

async fn open_order(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(order): Json<OrderOpened>,
) -> Result<(StatusCode, Json<OrderRecord>), Problem> {
    let (status, record) = order::open(&floor, caller.actor()?, order).await?;
    Ok((status, Json(record)))
}

async fn show_order(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    UrlPath(number): UrlPath<String>,
) -> Result<Json<OrderRecord>, Problem> {
    caller.actor()?;
    order::show(&floor, &number).map(Json)
}

async fn close_order(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    UrlPath(number): UrlPath<String>,
) -> Result<Json<Closed>, Problem> {
    order::close(&floor, caller.actor()?, &number).await.map(Json)
}

/// Has receipts taken from a courier.
async fn trust_courier(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(trusted): Json<CourierTrusted>,
) -> Result<StatusCode, Problem> {
    courier::trust(&floor, caller.actor()?, trusted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a bundle of what waits for the cloud.
async fn courier_out(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Result<Json<Out>, Problem> {
    courier::out(&floor, caller.actor()?).await.map(Json)
}

/// What a courier has brought back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Brought {
    pub(crate) receipt: String,
}

/// Takes in a receipt.
async fn courier_in(
    State(floor): State<Shared>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(brought): Json<Brought>,
) -> Result<Json<Taken>, Problem> {
    courier::take(&floor, caller.actor()?, brought.receipt).await.map(Json)
}
