//! What a screen shows: derived from committed events only, and as old as it says (law 13).

use std::{sync::Arc, time::Duration};

use cloud_sync::{
    Link, LinkState,
    books::{self, Books},
};
use ledger::{Ledger, ReadError, Seq};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;
use utoipa::ToSchema;

use crate::{
    EdgeEvent,
    config::LineConfig,
    http::BooksView,
    index::{self, LineRecord},
};

/// How often a board is made anew at most; a burst of units is one change on a screen.
const PACE: Duration = Duration::from_millis(100);

/// All lines, and how the cloud is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Board {
    /// The last frame that it includes.
    pub(crate) seq: Seq,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) lines: Vec<Line>,
    pub(crate) cloud: CloudView,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Units that it shall make a day.
    pub(crate) target: Option<u32>,
    /// Units of this day, UTC.
    pub(crate) today: i64,
    /// Units ever.
    pub(crate) issued: u64,
    /// The last one.
    pub(crate) last: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) last_at: Option<OffsetDateTime>,
}

/// The cloud, as the floor needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct CloudView {
    /// `off` without a configured cloud, `paused` while a person wants nothing to be sent, else `unknown`, `up` or `down`.
    pub(crate) link: String,
    /// A few words on why it is down.
    pub(crate) why: Option<String>,
    /// The stable code of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// What to do about it, and who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub(crate) next_try: Option<OffsetDateTime>,
    /// How long it takes to tell what waits, once the cloud can be reached, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) eta_seconds: Option<u64>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) since: Option<OffsetDateTime>,
    #[schema(value_type = BooksView)]
    pub(crate) books: Books,
    /// When the oldest waiting job was wanted.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) oldest: Option<OffsetDateTime>,
}

/// From where a board is seen.
#[derive(Clone)]
pub(crate) struct Lookout {
    pub(crate) ledger: Ledger<EdgeEvent>,
    pub(crate) lines: Vec<LineConfig>,
    /// `None` where no cloud is configured.
    pub(crate) link: Option<watch::Receiver<Link>>,
}

/// Makes boards whenever something is committed or the link changes.
pub(crate) struct Boards {
    lookout: Lookout,
    current: watch::Sender<Arc<Board>>,
}

impl Boards {
    pub(crate) fn new(lookout: Lookout) -> Result<Self, ReadError> {
        let (current, _) = watch::channel(Arc::new(lookout.look(crate::http::now())?));
        Ok(Self { lookout, current })
    }

    /// The newest board, as it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Board>> {
        self.current.subscribe()
    }

    /// Works until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut changed = self.lookout.ledger.changed();
        // A day may end without anybody issuing a unit.
        let mut minute = tokio::time::interval(Duration::from_secs(60));
        loop {
            let link = async {
                match &mut self.lookout.link {
                    Some(link) => link.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                change = changed.changed() => if change.is_err() { return },
                up = link => if !up { self.lookout.link = None },
                _ = minute.tick() => {}
            }
            match self.lookout.look(crate::http::now()) {
                Ok(board) => {
                    self.current.send_replace(Arc::new(board));
                }
                Err(why) => error!(%why, "the board cannot be made"),
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

impl Lookout {
    /// The board of this moment, from what is committed.
    pub(crate) fn look(&self, now: OffsetDateTime) -> Result<Board, ReadError> {
        // Read first: what is committed meanwhile may show, but is not claimed.
        let Self { ledger, lines, link } = self;
        let seq = ledger.seq();
        let lines = lines.iter().map(|line| {
            let record: Option<LineRecord> = ledger.get(&index::line(&line.id))?;
            Ok(Line {
                id: line.id.clone(),
                name: line.name.clone().unwrap_or_else(|| line.id.clone()),
                target: line.target,
                today: ledger.counter(&index::day(&line.id, now.date()))?,
                issued: record.as_ref().map_or(0, |record| record.issued),
                last_at: record.as_ref().map(|record| record.last_at),
                last: record.map(|record| record.last.into()),
            })
        });
        let lines = lines.collect::<Result<_, ReadError>>()?;
        let link = link.as_ref().map(|link| link.borrow().clone());
        let paused = books::paused(ledger)?.filter(|_| link.is_some());
        let (word, why) = match link.as_ref().map(|link| &link.state) {
            None => ("off", None),
            Some(LinkState::Unknown) => ("unknown", None),
            Some(LinkState::Up) => ("up", None),
            Some(LinkState::Down { cause, .. }) => ("down", Some(cause.words().to_owned())),
        };
        let cause = link.as_ref().and_then(|link| match link.state {
            LinkState::Down { cause, .. } => Some(cause),
            LinkState::Unknown | LinkState::Up => None,
        });
        let (word, why) = match &paused {
            Some(pause) => ("paused", Some(pause.reason.clone())),
            None => (word, why),
        };
        let books = books::balance(ledger)?;
        let waiting = u64::try_from(books.waiting).unwrap_or_default();
        let cloud = CloudView {
            link: word.to_owned(),
            why,
            code: cause.filter(|_| paused.is_none()).map(|cause| cause.code().to_owned()),
            advice: match &paused {
                Some(_) => Some("somebody has paused it; let it go on with: edge queue resume".to_owned()),
                None => cause.map(|cause| cause.advice().to_owned()),
            },
            next_try: link.as_ref().filter(|_| paused.is_none()).and_then(|link| link.next_try),
            eta_seconds: link.as_ref().and_then(|link| link.eta(waiting)).map(|eta| eta.as_secs()),
            since: paused.map(|pause| pause.since).or(link.map(|link| link.since)),
            books,
            oldest: books::oldest(ledger)?,
        };
        Ok(Board { seq, at: now, lines, cloud })
    }
}
