//! The label in the path (RFC 7030 3.2.2): `/.well-known/est/LABEL/simpleenroll` says where a unit is made, what for, or as
//! what.

use axum::extract::{FromRequestParts, Path};
use http::{StatusCode, request::Parts};
use web::Problem;

use crate::{
    access::Principal,
    http::{Floor, Shared, unreadable},
    index::Unit,
    issuance::Wish,
    order::{self, OrderRecord},
};

/// What a label stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::http) enum Label {
    /// There is none.
    #[default]
    None,
    /// A line, by its id.
    Line(String),
    /// A profile, by its name.
    Profile(String),
    /// A production order, by its number.
    Order(String),
}

impl Label {
    /// The wish of somebody who asks here. The line is the label's or its order's, else the one that its sender is bound to.
    pub(super) fn wish(self, principal: &Principal) -> Result<Wish, Problem> {
        let nowhere = matches!(self, Self::None | Self::Profile(_)) && principal.line.is_none();
        if nowhere {
            let detail = "say on which line the unit is made: POST /.well-known/est/LINE/…, or use a token that is for one line";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "line-required", detail));
        }
        Ok(match self {
            Self::None => Wish::default(),
            Self::Line(line) => Wish { line: Some(line), ..Wish::default() },
            Self::Profile(profile) => Wish { profile: Some(profile), ..Wish::default() },
            Self::Order(number) => Wish { order: Some(number), ..Wish::default() },
        })
    }

    /// Refuses a unit that is not of this label.
    pub(super) fn fits(&self, unit: &Unit) -> Result<(), Problem> {
        let (fits, kind, own) = match self {
            Self::None => return Ok(()),
            Self::Line(line) => (*line == unit.line, "line", unit.line.as_str()),
            Self::Profile(profile) => (profile == unit.profile(), "profile", unit.profile()),
            Self::Order(number) => {
                (unit.order.as_ref() == Some(number), "order", unit.order.as_deref().unwrap_or("(none)"))
            }
        };
        if fits {
            return Ok(());
        }
        let detail = format!("this unit is of {kind} {own}; ask there, or leave the label out");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

/// What a label stands for here. What was configured goes before what was planned: no order takes the place of a line.
fn resolve(floor: &Floor, label: &str) -> Result<Label, Problem> {
    if floor.lines.iter().any(|line| line.id == label) {
        return Ok(Label::Line(label.to_owned()));
    }
    let active = floor.issuing.current();
    if active.issuer.profile(label).is_some() {
        return Ok(Label::Profile(label.to_owned()));
    }
    let order = floor.ledger.get::<OrderRecord>(&order::key(label)).map_err(|error| unreadable(&error))?;
    if order.is_some() {
        return Ok(Label::Order(label.to_owned()));
    }
    let lines: Vec<_> = floor.lines.iter().map(|line| line.id.as_str()).collect();
    let profiles: Vec<_> = active.issuer.profiles().collect();
    let detail = format!(
        "'{label}' is no label here; there are the lines {}, the profiles {}, and the numbers of production orders",
        lines.join(", "),
        profiles.join(", ")
    );
    Err(Problem::new(StatusCode::NOT_FOUND, "label-unknown", detail))
}

impl FromRequestParts<Shared> for Label {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, floor: &Shared) -> Result<Self, Problem> {
        let label = Option::<Path<String>>::from_request_parts(parts, floor)
            .await
            .map_err(|_| Problem::not_found())?;
        label.map_or(Ok(Self::None), |Path(label)| resolve(floor, &label))
    }
}
