//! `edge queue`

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use cloud_sync::{Progress, Want, books::Pause};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{
    Failure,
    client::Daemon,
    resolve::{Resolve, Show},
    say,
};
use crate::{
    drift,
    http::{Status, units::time},
    queue::{Changed, Hold, Job, Kind, Part, Pick, Queue as Glance, Reason, Wanted},
};

/// So many jobs are shown to a person who does not say.
const ORDINARY: usize = 50;
/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at what waits for the cloud and what it has refused, has it asked again, or held, or nothing sent.
#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// Lists what needs a person, and then what waits, oldest first.
    Ls(Ls),
    /// Shows the job of a unit; one that is held is compared with what the cloud has.
    Show(Show),
    /// Decides about a job that is held: the cloud keeps what it has, or that gives way.
    Resolve(Resolve),
    /// Has what is held asked again.
    Retry(Retry),
    /// Holds what waits: it is not sent until it is asked again.
    Hold(HoldCommand),
    /// Has nothing sent from now on; lines go on.
    Pause(PauseCommand),
    /// Lets sending go on.
    Resume(Of),
    /// Prints every job that is not settled, one JSON object a line.
    Export(Of),
    /// Waits until nothing waits any more, and shows how far it is.
    Wait(Of),
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    pub(super) state: PathBuf,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Json,
    Ndjson,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Only what waits, or only what is held.
    #[arg(long = "only", value_enum)]
    only: Option<Kind>,
    /// Only what is held for this reason.
    #[arg(long)]
    code: Option<String>,
    /// How many reasons there are, and how many jobs are held for each, instead of the jobs.
    #[arg(long, conflicts_with_all = ["only", "limit"])]
    by_cause: bool,
    /// At most so many.
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    of: Of,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Debug, Args)]
pub(super) struct Retry {
    /// The units.
    #[arg(required_unless_present_any = ["code", "all"])]
    ids: Vec<String>,
    /// Everything that is held for this reason.
    #[arg(long, conflicts_with = "ids")]
    code: Option<String>,
    /// Everything that is held.
    #[arg(long, conflicts_with_all = ["ids", "code"])]
    all: bool,
    /// Waits until nothing waits any more, and shows how far it is.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct HoldCommand {
    /// The units.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why; it stands in the journal for ever.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct PauseCommand {
    /// Why; it stands in the journal for ever, and on the screens until it goes on.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    of: Of,
}

impl Queue {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Ls(ls) => ls.run().await,
            Self::Show(show) => show.run().await,
            Self::Resolve(resolve) => resolve.run().await,
            Self::Retry(retry) => {
                let daemon = Daemon::of(&retry.of.state)?;
                let pick = match retry.code {
                    Some(code) => Pick::Code(code),
                    None if retry.all => Pick::All {},
                    None => Pick::Ids(retry.ids),
                };
                let changed: Changed = daemon.post("/queue/retry", &pick).await?;
                let told = tell(&changed, "asked again", "not held");
                if retry.wait {
                    wait(&daemon).await?;
                }
                told
            }
            Self::Hold(hold) => {
                let ask = Hold { ids: hold.ids, reason: hold.reason };
                let changed: Changed = Daemon::of(&hold.of.state)?.post("/queue/hold", &ask).await?;
                tell(&changed, "held", "not waiting")
            }
            Self::Pause(pause) => {
                let ask = Reason { reason: pause.reason };
                let paused: Pause = Daemon::of(&pause.of.state)?.post("/queue/pause", &ask).await?;
                say::line(&format!("nothing is sent since {}: {}", time(paused.since), paused.reason));
                Ok(())
            }
            Self::Resume(of) => {
                Daemon::of(&of.state)?.post::<()>("/queue/resume", &json!({})).await?;
                say::line("sending goes on");
                Ok(())
            }
            Self::Export(of) => {
                let daemon = Daemon::of(&of.state)?;
                for kind in [Kind::Held, Kind::Waiting] {
                    each(&daemon, kind, None, |job| {
                        say::line(&json!(job).to_string());
                        true
                    })
                    .await?;
                }
                Ok(())
            }
            Self::Wait(of) => wait(&Daemon::of(&of.state)?).await,
        }
    }
}

impl Ls {
    async fn run(self) -> Result<(), Failure> {
        let daemon = Daemon::of(&self.of.state)?;
        if self.by_cause {
            return self.causes(&daemon).await;
        }
        let limit = match (self.limit, self.output) {
            (Some(limit), _) => limit,
            (None, Form::Text) => ORDINARY,
            (None, Form::Json | Form::Ndjson) => usize::MAX,
        };
        let mut kinds = vec![Kind::Held, Kind::Waiting];
        // What waits has no reason.
        kinds.retain(|kind| {
            self.only.is_none_or(|only| only == *kind) && (*kind == Kind::Held || self.code.is_none())
        });
        let (mut jobs, mut shown) = (Vec::new(), 0);
        for kind in kinds {
            each(&daemon, kind, self.code.clone(), |job| {
                if shown == limit {
                    return false;
                }
                shown += 1;
                match self.output {
                    Form::Text => say::line(&line(&job)),
                    Form::Ndjson => say::line(&json!(job).to_string()),
                    Form::Json => jobs.push(job),
                }
                true
            })
            .await?;
        }
        let glance: Glance = daemon.get("/queue").await?;
        match self.output {
            Form::Json => say::line(&json!({ "jobs": jobs, "queue": glance }).to_string()),
            Form::Ndjson => {}
            Form::Text => summary(&glance, shown).iter().for_each(|line| say::line(line)),
        }
        Ok(())
    }

    async fn causes(&self, daemon: &Daemon) -> Result<(), Failure> {
        let mut causes = BTreeMap::<String, (u64, String)>::new();
        each(daemon, Kind::Held, self.code.clone(), |job| {
            if let Some(why) = job.why {
                causes.entry(why.code).or_insert((0, why.detail)).0 += 1;
            }
            true
        })
        .await?;
        for (code, (jobs, detail)) in causes {
            match self.output {
                Form::Text => say::line(&format!("{jobs:>7}  {code:<18} for instance: {detail}")),
                Form::Json | Form::Ndjson => {
                    say::line(&json!({ "code": code, "jobs": jobs, "detail": detail }).to_string());
                }
            }
        }
        Ok(())
    }
}

/// Brings every job of a kind to `take`, until that has enough.
async fn each(
    daemon: &Daemon,
    kind: Kind,
    code: Option<String>,
    mut take: impl FnMut(Job) -> bool,
) -> Result<(), Failure> {
    let mut wanted = Wanted { state: kind, after: None, code };
    loop {
        let state = match kind {
            Kind::Waiting => "waiting",
            Kind::Held => "held",
        };
        let mut path = format!("/queue/jobs?state={state}");
        for (name, value) in [("after", &wanted.after), ("code", &wanted.code)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let Part { jobs, next } = daemon.get(&path).await?;
        for job in jobs {
            if !take(job) {
                return Ok(());
            }
        }
        wanted.after = next;
        if wanted.after.is_none() {
            return Ok(());
        }
    }
}

/// Shows how far it is until nothing waits.
async fn wait(daemon: &Daemon) -> Result<(), Failure> {
    const WIDTH: usize = 40;
    let mut most = 0;
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let status: Status = daemon.get("/status").await?;
        let cloud = &status.board.cloud;
        let waiting = usize::try_from(cloud.books.waiting).unwrap_or_default();
        most = most.max(waiting);
        let done = (most - waiting) * WIDTH / most.max(1);
        let (full, empty) = ("#".repeat(done), "-".repeat(WIDTH - done));
        let eta = cloud.eta_seconds.map(|seconds| format!("   about {seconds} s")).unwrap_or_default();
        let how = if cloud.link == "up" { eta } else { format!("   the cloud is {}", cloud.link) };
        say::line(&format!("[{full}{empty}] {} of {most}   {} held{how}", most - waiting, cloud.books.held));
        if waiting == 0 {
            return Ok(());
        }
    }
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Tells what became of what was asked for; what was left alone makes the command fail.
fn tell(changed: &Changed, done: &str, otherwise: &str) -> Result<(), Failure> {
    say::line(&format!("{} {done}", changed.changed));
    if changed.unchanged.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = changed.unchanged.iter().map(ToString::to_string).collect();
    Err(Failure::refused(409, format!("{otherwise}, and left alone: {}", ids.join(", "))))
}

fn verb(want: Want) -> &'static str {
    match want {
        Want::Announce => "announce",
        Want::Replace => "replace",
        Want::Withdraw => "withdraw",
        Want::Activate => "activate",
        Want::Deactivate => "deactivate",
    }
}

/// A job in a line.
pub(super) fn line(job: &Job) -> String {
    let why = job.why.as_ref().map(|why| format!("   {}", why.code)).unwrap_or_default();
    let pass = if job.epoch == 1 { String::new() } else { format!("   pass {}", job.epoch) };
    format!("{:<8} {:<32} {:<9} since {}{pass}{why}", job.state, job.id, verb(job.want), time(job.since))
}

/// What is said below a list.
fn summary(glance: &Glance, shown: usize) -> Vec<String> {
    let books = &glance.books;
    let balance = if books.balance() { "the books balance" } else { "THE BOOKS DO NOT BALANCE" };
    let mut lines = vec![format!(
        "{shown} shown   {} enqueued = {} settled + {} waiting + {} held + {} superseded   {balance}",
        books.enqueued, books.settled, books.waiting, books.held, books.superseded
    )];
    lines.extend(glance.paused.iter().map(|pause| {
        format!("PAUSED since {}: {}; go on with: edge queue resume", time(pause.since), pause.reason)
    }));
    lines.extend(glance.read_back.iter().map(read_back));
    lines
}

/// How far it is with looking whether the cloud still has what it was told.
pub(super) fn read_back(progress: &Progress) -> String {
    let now = match &progress.position {
        Some(id) => format!("pass {} at {id}: {}", progress.pass, drift::words(&progress.tally)),
        None => "between two passes".to_owned(),
    };
    let last = progress.last.as_ref();
    let last = last.map(|ended| format!("   last ended {}: {}", time(ended.at), drift::words(&ended.tally)));
    format!("read back   {now}{}", last.unwrap_or_default())
}
