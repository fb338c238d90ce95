//! The pages as values; the templates beside them escape everything that they show.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use tracing::error;
use web::Problem;

use crate::status::{Phase, Status};

/// Renders a page.
pub(crate) fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(why) => {
            error!(%why, "a page cannot be rendered");
            Problem::internal().into_response()
        }
    }
}

/// What was typed into the activation form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) device: String,
    pub(crate) claim: String,
    pub(crate) metadata: String,
    pub(crate) hub: String,
}

impl Draft {
    pub(crate) fn is_empty(&self) -> bool {
        self.device.is_empty() && self.claim.is_empty() && self.metadata.is_empty()
    }
}

/// The login.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login<'a> {
    pub(crate) token: &'a str,
    pub(crate) name: &'a str,
    pub(crate) next: &'a str,
    pub(crate) error: Option<&'a str>,
    pub(crate) draft: Draft,
}

/// Something to correct, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The `id` of the field; empty when it is about the whole form.
    pub(crate) field: &'static str,
    /// What to do about it.
    pub(crate) text: String,
}

/// The activation form.
#[derive(Template)]
#[template(path = "activate.html")]
pub(crate) struct Activate<'a> {
    pub(crate) account: Option<&'a str>,
    pub(crate) token: &'a str,
    pub(crate) draft: Draft,
    pub(crate) hubs: &'a [String],
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) notice: Option<&'a str>,
    /// Another page that answers the question.
    pub(crate) see: Option<String>,
}

impl Activate<'_> {
    fn mistake(&self, field: &str) -> Option<&str> {
        self.mistakes.iter().find(|mistake| mistake.field == field).map(|mistake| mistake.text.as_str())
    }

    fn wrong(&self, field: &str) -> bool {
        self.mistake(field).is_some()
    }

    fn why(&self, field: &str) -> &str {
        self.mistake(field).unwrap_or_default()
    }

    fn chosen(&self, hub: &str) -> bool {
        self.draft.hub == hub
    }
}

/// Who wants a device taken out of service, and why.
pub(crate) struct End {
    pub(crate) saved: String,
    pub(crate) account: String,
    pub(crate) reason: String,
}

/// What became of a request.
#[derive(Template)]
#[template(path = "activation.html")]
pub(crate) struct Activation<'a> {
    pub(crate) account: Option<&'a str>,
    pub(crate) token: &'a str,
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) device: String,
    pub(crate) hub: &'a str,
    pub(crate) status: &'a Status,
    pub(crate) end: Option<End>,
    pub(crate) saved: String,
    pub(crate) ended: String,
    pub(crate) looked: String,
}

impl Activation<'_> {
    fn phase(&self) -> &'static str {
        phase(self.status.phase)
    }

    fn open(&self) -> bool {
        matches!(self.status.phase, Phase::Waiting | Phase::Deactivating)
    }

    fn again(&self) -> bool {
        matches!(self.status.phase, Phase::Refused | Phase::Deactivated)
    }

    fn may_end(&self) -> bool {
        matches!(self.status.phase, Phase::Waiting | Phase::Done | Phase::NotDeactivated)
    }
}

/// The page that takes a device out of service.
#[derive(Template)]
#[template(path = "deactivate.html")]
pub(crate) struct Deactivate<'a> {
    pub(crate) account: Option<String>,
    pub(crate) token: String,
    /// The page of the activation.
    pub(crate) path: String,
    pub(crate) device: String,
    pub(crate) hub: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) mistake: Option<Mistake>,
    /// Why it is not done, instead of the form.
    pub(crate) barred: Option<&'a str>,
}

impl Deactivate<'_> {
    fn wrong(&self) -> bool {
        self.mistake.as_ref().is_some_and(|mistake| mistake.field == "reason")
    }
}

/// One line of the list.
pub(crate) struct Line {
    pub(crate) path: String,
    pub(crate) device: String,
    pub(crate) saved: String,
    pub(crate) headline: String,
    pub(crate) phase: &'static str,
}

/// The latest requests of an account.
#[derive(Template)]
#[template(path = "activations.html")]
pub(crate) struct Activations<'a> {
    pub(crate) account: Option<&'a str>,
    pub(crate) token: &'a str,
    pub(crate) lines: Vec<Line>,
}

/// A page that only says something.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) account: Option<&'a str>,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
}

/// What a phase is called in style sheets and scripts.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Done => "done",
        Phase::Refused => "refused",
        Phase::Replaced => "replaced",
        Phase::Deactivating => "deactivating",
        Phase::Deactivated => "deactivated",
        Phase::NotDeactivated => "not_deactivated",
    }
}
